"""The team behind a key: which one it is, told by its id or by a hash of the key; its people."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bulkupdate.errors import BadResponseError, RefusedError
from bulkupdate.lemlist.http import MAX_BODY, Response, json_of

_SALT = 16

#: Most bytes of a team in an answer: some thousand members.
MAX_TEAM = 1 << 22

#: Statuses with which a side route may be closed, while tasks can be edited.
_CLOSED = frozenset({402, 403, 404, 405})

#: Statuses with which a route may be closed that nothing depends on. A 429 is about all routes.
_ANY_REFUSAL = frozenset(range(400, 500)) - {429}

#: The state of the campaigns that are asked for.
RUNNING = "running"

#: Statuses of a campaign that makes no tasks. Another word than these is taken for a running one.
_RESTING = frozenset({"draft", "paused", "ended", "archived", "errors"})


class Member(NamedTuple):
    """A member of a team. A team that can't tell names and addresses leaves them empty.

    Attributes:
        id: the user's id: `usr_` and more.
        name: the user's name; "" if it is not known.
        email: the user's e-mail address; "" if it is not known.
        role: the user's role in the team; "" if it is not known.
    """

    id: str
    name: str = ""
    email: str = ""
    role: str = ""


class Team(NamedTuple):
    """A team, as `GET /team` returns it. Much else is in the answer, webhook URLs among it.

    Attributes:
        id: the team's id (`_id`): `tea_` and more.
        name: the team's name; "" without one.
        user_ids: the ids of its members.
        members: its members; None where the server tells only their ids.
    """

    id: str
    name: str
    user_ids: tuple[str, ...] = ()
    members: tuple[Member, ...] | None = None


class Campaign(NamedTuple):
    """A campaign of a sender.

    Attributes:
        id: the id of the campaign: `cam_` and more; "" if the server does not tell it.
        name: its name; "" if the server does not tell it.
    """

    id: str
    name: str = ""


class Sender(NamedTuple):
    """A user in whose name campaigns run.

    Attributes:
        user_id: the user's id.
        campaigns: the running campaigns.
    """

    user_id: str
    campaigns: tuple[Campaign, ...]


def team_of(response: Response) -> tuple[Team, bool]:
    """The team in an answer, and that it is as expected.

    Raises:
        TaskError: the answer has no team.
    """
    value = _team_value(response)
    id_ = value.get("_id") if isinstance(value, dict) else None
    if not isinstance(id_, str) or not id_.startswith("tea_"):
        raise BadResponseError("a 200 without a team", 200)
    # Only what is used is taken.
    ids = _ids(value)
    members = [] if ids is None else _members(value, ids)
    found = response.redacted([id_, _text(value, "name"), ids or [], members])
    known = tuple(Member(*one) for one in found[3])
    return Team(found[0], found[1], tuple(found[2]), known or None), True


def member_of(response: Response) -> tuple[Member, bool]:
    """The user in an answer of `GET /users/{id}`, and that it is as expected.

    Raises:
        TaskError: the answer has no user.
    """
    value = _side_value(response, "a user", closed=_CLOSED - {404})
    found = _member(value, "_id") if isinstance(value, dict) else [""]
    if not found[0]:
        raise BadResponseError("a 200 without a user", 200)
    return Member(*response.redacted(found)), True


def senders_of(response: Response) -> tuple[list[Sender], bool]:
    """The senders of running campaigns in an answer, and that it is as expected.

    Raises:
        TaskError: the answer has no senders.
    """
    value = _side_value(response, "senders", most=MAX_TEAM, closed=_ANY_REFUSAL)
    if not isinstance(value, list):
        raise BadResponseError("a 200 without senders", response.status)
    found: dict[str, dict[Campaign, None]] = {}
    for one in value:
        if isinstance(one, dict) and (user_id := _text(one, "userId")):
            found.setdefault(user_id, {}).update(dict.fromkeys(_running(one)))
    told = response.redacted([[user, [*map(list, some)]] for user, some in found.items() if some])
    return [Sender(user, tuple(Campaign(*one) for one in some)) for user, some in told], True


def _running(sender: Mapping[str, Any]) -> list[Campaign]:
    """The running campaigns of a sender. A server may ignore that only these are asked for."""
    told = [one for one in _list(sender, "campaigns") if isinstance(one, dict)]
    return [
        Campaign(_text(one, "_id"), _text(one, "name"))
        for one in told
        if _text(one, "status").casefold() not in _RESTING
    ]


def is_plain_id(user_id: str) -> bool:
    """Whether an id can be a part of a path as it is."""
    return _PLAIN.fullmatch(user_id) is not None


_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def _team_value(response: Response) -> Any:
    """The JSON value in an answer about a team.

    Raises:
        TaskError: the answer has none.
    """
    try:
        return _side_value(response, "a team", most=MAX_TEAM)
    except BadResponseError:
        # No excerpt: a team holds the URLs of its webhooks, which are secrets.
        text = f"a {response.status} without a team"
        raise BadResponseError(text, response.status) from None


def _ids(team: Mapping[str, Any]) -> list[str] | None:
    """The ids of the members; None where one of them can't be read.

    Half a list is not taken for the whole: a rule would think that the others have left the team.
    """
    ids = [one.strip() if isinstance(one, str) else "" for one in _list(team, "userIds")]
    return ids if all(ids) else None


def _members(team: Mapping[str, Any], ids: Iterable[str]) -> list[list[str]]:
    """The values of each `Member`; none where the team doesn't tell them, or not each of them."""
    users = [
        _member(one, "userId") if isinstance(one, dict) else [""] for one in _list(team, "users")
    ]
    named = {user[0] for user in users}
    if not users or "" in named:
        return []
    return users + [[id_, "", "", ""] for id_ in ids if id_ not in named]


def _side_value(
    response: Response, what: str, *, most: int = MAX_BODY, closed: frozenset[int] = _CLOSED
) -> Any:
    """The JSON value in an answer of a side route.

    Args:
        response: the answer.
        what: the expected value for messages, as in `a team`.
        most: most bytes of the body.
        closed: the statuses that tell that the route is closed.

    Raises:
        TaskError: the answer has none. It is a `RefusedError` if the route is closed.
    """
    status = response.status
    if status in closed or (status == 200 and response.is_page):
        # Of this route only: the key is good, or its rows would say so.
        raise RefusedError(f"{status}: {what.removeprefix('a ')} can't be read", status)
    return json_of(response, what, most=most)


def _member(value: Mapping[str, Any], key: str) -> list[str]:
    """The values of a `Member`. A user has one name, or two: both are in use (`lemlist: team`)."""
    names = (_text(value, "firstName"), _text(value, "lastName"))
    name = _text(value, "name") or " ".join(filter(None, names))
    return [_text(value, key), name, _text(value, "email"), _text(value, "role")]


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found.strip() if isinstance(found, str) else ""


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
