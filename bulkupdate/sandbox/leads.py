"""The people whom tasks are about. No answer shows them; filters look at them."""

import hashlib
from typing import NamedTuple

_FIRST_NAMES = ("Ada", "Bao", "Chloé", "Dmitri", "Elif", "Farid", "Grace", "Hugo")
_LAST_NAMES = ("Abe", "Brandt", "Costa", "Diaz", "Evans", "Fontaine", "Garcia", "Haddad")


class Lead(NamedTuple):
    """A lead.

    Attributes:
        full_name: the first name and the last name.
        email: the e-mail address.
        phone: the phone number, with `+` and the country.
        linkedin: the address of the profile, as in `linkedin.com/in/johndoe`.
    """

    full_name: str = ""
    email: str = ""
    phone: str = ""
    linkedin: str = ""


def made_up_lead(id_: str) -> Lead:
    """The made-up lead with this id, the same one every time."""
    digest = hashlib.sha256(id_.encode()).digest()
    first, last = _FIRST_NAMES[digest[0] % 8], _LAST_NAMES[digest[1] % 8]
    tag = digest[2:5].hex()
    local = f"{first}-{last}-{tag}".lower().replace("é", "e")
    # Numbers from 555-0100 to 555-0199 belong to nobody.
    phone = f"+1202555{100 + digest[5] % 100:04}"
    return Lead(f"{first} {last}", f"{local}@example.com", phone, f"linkedin.com/in/{local}")
