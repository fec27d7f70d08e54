"""The team behind a key: which team it is, told by its id or by a hash of the key."""

import hashlib
import hmac
import secrets
from typing import NamedTuple

from bulkupdate.errors import BadResponseError, RefusedError
from bulkupdate.lemlist.http import Response, json_of

_SALT = 16

#: Statuses with which a side route may be closed, while tasks can be edited.
_CLOSED = frozenset({402, 403, 404, 405})


class Team(NamedTuple):
    """A team, as `GET /team` returns it. Much else is in the answer, webhook URLs among it.

    Attributes:
        id: the team's id (`_id`): `tea_` and more.
        name: the team's name; "" without one.
    """

    id: str
    name: str


def team_of(response: Response) -> tuple[Team, bool]:
    """The team in an answer, and that it is as expected.

    Raises:
        TaskError: the answer has no team.
    """
    if response.status in _CLOSED:
        # Of this route only: the key is good, or its rows would say so.
        raise RefusedError(f"{response.status}: the team can't be read", response.status)
    value = json_of(response, "a team")
    id_ = value.get("_id") if isinstance(value, dict) else None
    if not isinstance(id_, str) or not id_.startswith("tea_"):
        # No excerpt: a team holds the URLs of its webhooks.
        raise BadResponseError("a 200 without a team", 200)
    name = value.get("name")
    shown = response.redacted({"id": id_, "name": name if isinstance(name, str) else ""})
    return Team(**shown), True


def hash_of(key: str) -> str:
    """A salted hash of a key, by which the same key is known again."""
    salt = secrets.token_bytes(_SALT)
    return f"{salt.hex()}:{_hash(key, salt)}"


def is_hash_of(text: str, key: str) -> bool:
    """Whether a text is a salted hash of this key."""
    salt, _, expected = text.partition(":")
    try:
        found = _hash(key, bytes.fromhex(salt))
    except ValueError:
        return False
    return hmac.compare_digest(found, expected)


def _hash(key: str, salt: bytes) -> str:
    # A key is random, so that it can't be guessed. A slow hash would protect nothing more.
    return hashlib.blake2b(key.encode(), key=salt, digest_size=16).hexdigest()
