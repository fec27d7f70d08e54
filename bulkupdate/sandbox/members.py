"""The people of a team."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: Number of members of the made-up team.
USERS = 5

#: First and last names of the made-up members. Two share the first name.
_NAMES = (
    ("Anna", "Martin"),
    ("Ben", "Keller"),
    ("Zoé", "Laurent"),
    ("Anna", "Dubois"),
    ("Emil", "Novak"),
)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a team.

    Attributes:
        id: the user id: `usr_` and more.
        first_name: the first name.
        last_name: the last name.
        email: the e-mail address.
        role: the role. The roles of lemlist are not known.
    """

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    role: str = "user"

    @property
    def name(self) -> str:
        """The first name and the last name."""
        return f"{self.first_name} {self.last_name}".strip()

    def listed(self) -> dict[str, Any]:
        """The member in the second version of `GET /team`."""
        return {"userId": self.id, "name": self.name, "email": self.email, "role": self.role}

    def alone(self) -> dict[str, Any]:
        """The member in `GET /users/{id}`."""
        return {
            "_id": self.id,
            "email": self.email,
            "role": self.role,
            "firstName": self.first_name,
            "lastName": self.last_name,
        }


def made_up_id(prefix: str, number: int, name: str = "") -> str:
    """An id like lemlist's: a prefix and 17 alphanumerics. It is the same for the same arguments.

    Args:
        prefix: what it begins with, as in `usr`.
        number: the number of what it is the id of.
        name: the name of the team; "" for the team without a name.
    """
    of_team = f"{prefix}{number} {name}" if name else f"{prefix}{number}"
    digest = hashlib.sha256(of_team.encode()).hexdigest()
    return f"{prefix}_{digest[:17]}"


def made_up_members(name: str = "") -> list[Member]:
    """The members of a made-up team, the same ones every time.

    Args:
        name: the name of the team. Their ids and the domain of their addresses depend on it.
    """
    domain = domain_of(name)
    return [
        _made_up(made_up_id("usr", number, name), number, *names, domain)
        for number, names in enumerate(_NAMES)
    ]


def members_of(ids: Iterable[str], name: str = "") -> list[Member]:
    """Made-up members with these ids, each once. Those of the made-up team keep their names.

    Args:
        ids: the ids.
        name: the name of the team.
    """
    known = {member.id: member for member in made_up_members(name)}
    distinct, domain = enumerate(dict.fromkeys(ids), 1), domain_of(name)
    return [known.get(id_) or _made_up(id_, n, "User", str(n), domain) for n, id_ in distinct]


def domain_of(name: str) -> str:
    """The domain of a team's e-mail addresses, as in `acme.example`. Nobody can have it."""
    if not name:
        return "example.com"
    label = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    if label != name:
        # Two names that differ have two domains.
        label = f"{label}-{made_up_id('dom', 0, name)[4:10]}".strip("-")
    return f"{label}.example"


def _made_up(id_: str, number: int, first_name: str, last_name: str, domain: str) -> Member:
    local = f"{first_name}.{last_name}".lower().replace("é", "e")
    role = "user" if number else "admin"
    return Member(id_, first_name, last_name, f"{local}@{domain}", role)
