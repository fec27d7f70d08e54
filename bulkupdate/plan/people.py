"""People: the user that an id, an e-mail address or a name stands for."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from bulkupdate import fields
from bulkupdate.codec import replaced
from bulkupdate.errors import count
from bulkupdate.models import ErrorInfo, Row

if TYPE_CHECKING:
    # `check` needs no HTTP library.
    from bulkupdate.lemlist.team import Member

#: Number of members that a message names.
_SHOWN = 3

#: What the ids of users begin with, by convention.
_USER_PREFIX = "usr_"


class People:
    """The members of a team, and the owners of its tasks.

    An id wins over an e-mail address, and that over a name. Case does not matter for the last two.
    Nobody is guessed: a name of two members is refused.

    Args:
        members: the members; None if the team could not be read, so that only ids are known.
        owners: ids of the owners of listed tasks. Someone who has left may still own some.
    """

    def __init__(self, members: "Sequence[Member] | None", owners: Iterable[str] = ()) -> None:
        self.is_known = members is not None
        self._members = {member.id: member for member in members or ()}
        self._owners = {*owners}

    def add_owners(self, owners: Iterable[str]) -> None:
        """Add owners of listed tasks."""
        self._owners.update(owners)

    @property
    def members(self) -> "list[Member]":
        """The members, in the order of the team."""
        return [*self._members.values()]

    @property
    def to_enter(self) -> str:
        """What an owner has to be, in words: a member, but an id where none can be named."""
        has_names = any(one.name or one.email for one in self._members.values())
        return "members of the team" if has_names else "ids of users (usr_…)"

    def shown(self, user_id: str) -> str:
        """A user for people: the e-mail address, else the name, else the id."""
        member = self._members.get(user_id)
        return (member.email or member.name or member.id) if member else user_id

    def named(self, error: ErrorInfo) -> ErrorInfo:
        """A conflict whose message names owners beside their ids."""
        message = error.message
        for user_id in (error.expected, error.found) if error.field == "assignedTo" else ():
            if isinstance(user_id, str) and (shown := self.shown(user_id)) != user_id:
                message = message.replace(repr(user_id), repr(f"{shown} ({user_id})"))
        return replaced(error, message=message)

    def source(self, text: str) -> str:
        """The id of a user whose tasks are meant, who may have left the team.

        Raises:
            ValueError: the text stands for no user, or for several.
        """
        word = text.strip()
        if word in self._members or word in self._owners or word.startswith(_USER_PREFIX):
            return fields.user_id(word)
        return self._member(word).id

    def target(self, text: str) -> str:
        """The id of a member who is to get a task.

        Raises:
            ValueError: the text stands for no member, or for several.
        """
        word = text.strip()
        if not self.is_known:
            if "@" in word or " " in word:
                raise ValueError("the team can't be read: enter the id of a user (usr_…)")
            return fields.user_id(word)
        if word in self._members:
            return word
        return self._member(word).id

    def resolved(self, row: Row, owner_of: Callable[[str], str | None]) -> Row:
        """A row whose owners are ids: the one that it sets, and the one that it expects.

        Args:
            row: the row.
            owner_of: the present owner of a task, by its id. This one may have left the team.

        Raises:
            ValueError: one of them stands for no user, or for several. The message names the field.
        """
        update, expect = row.update, row.expect
        owner = update.assigned_to if update is not None else None
        if update is not None and isinstance(owner, str):
            try:
                meant = _named("assignedTo", owner, self.target)
            except ValueError:
                if owner.strip() != owner_of(update.id):
                    raise
                meant = owner.strip()
            if meant != owner:
                row = replaced(row, update=replaced(update, assigned_to=meant))
        if expect and (text := expect.get("assignedTo")):
            meant = _named("expect.assignedTo", text, self.source)
            row = replaced(row, expect={**expect, "assignedTo": meant})
        return row

    def _member(self, word: str) -> "Member":
        if not word:
            # A member without a name or an address is not meant.
            raise ValueError("is empty: enter an e-mail address, a name or an id")
        if not self.is_known:
            raise ValueError("the team can't be read: enter the id of a user (usr_…)")
        plain = word.casefold()
        by_email = [one for one in self._members.values() if one.email.casefold() == plain]
        by_name = [one for one in self._members.values() if _plain(one.name) == _plain(word)]
        found = by_email or by_name
        if len(found) > 1:
            several = " and ".join(map(_described, found[:_SHOWN]))
            raise ValueError(f"stands for {several}: enter an e-mail address or an id")
        if not found:
            raise fields.WrongValueError("is no member of the team", self._nearest(word))
        return found[0]

    def _nearest(self, word: str) -> str:
        """The members whose name, address or id is nearest to a word."""
        spelt: dict[str, Member] = {}
        for member in self._members.values():
            for text in (member.email, member.name, member.id):
                spelt.setdefault(_local(text), member)
        plain = _local(word)
        # A first name alone is not near to the whole name, for difflib.
        near = [text for text in spelt if plain in text.split()]
        near += difflib.get_close_matches(plain, spelt, n=2 * _SHOWN, cutoff=0.5)
        nearest = list(dict.fromkeys(spelt[text] for text in near if text))[:_SHOWN]
        if nearest:
            return f": did you mean {' or '.join(map(_described, nearest))}?"
        return f": it has {count(len(self._members), 'member')} (bulkupdate team lists them)"


def _named(field: str, text: str, resolve: Callable[[str], str]) -> str:
    try:
        return resolve(text)
    except ValueError as error:
        hint = error.hint if isinstance(error, fields.WrongValueError) else ""
        raise ValueError(f"{field} {fields.shorten(text)}: {error}{hint}") from None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _local(text: str) -> str:
    """A text without the domain of an address: all addresses of a team are alike in it."""
    return _plain(text.partition("@")[0])


def _described(member: "Member") -> str:
    parts = [part for part in (member.name, member.email) if part]
    return f"{' '.join(parts)} ({member.id})" if parts else member.id
