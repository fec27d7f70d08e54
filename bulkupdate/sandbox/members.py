"""The people of a team."""

import hashlib
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


def made_up_id(prefix: str, number: int) -> str:
    """An id like lemlist's: a prefix and 17 alphanumerics. It is the same for the same number."""
    digest = hashlib.sha256(f"{prefix}{number}".encode()).hexdigest()
    return f"{prefix}_{digest[:17]}"


def made_up_members() -> list[Member]:
    """The members of the made-up team, the same ones every time."""
    return [_made_up(made_up_id("usr", n), n, *name) for n, name in enumerate(_NAMES)]


def members_of(ids: Iterable[str]) -> list[Member]:
    """Made-up members with these ids, each once. Those of the made-up team keep their names."""
    known = {member.id: member for member in made_up_members()}
    distinct = enumerate(dict.fromkeys(ids), 1)
    return [known.get(id_) or _made_up(id_, n, "User", str(n)) for n, id_ in distinct]


def _made_up(id_: str, number: int, first_name: str, last_name: str) -> Member:
    # The domain is one that nobody can have.
    local = f"{first_name}.{last_name}".lower().replace("é", "e")
    role = "user" if number else "admin"
    return Member(id_, first_name, last_name, f"{local}@example.com", role)
