"""Ids that are unlike all others of an input, as `Total` in a line below a table.

And owners whose ids are none of users, as where two columns were swapped.
"""

from collections.abc import Sequence

import msgspec

from bulkupdate.fields import TASK_PREFIX, USER_PREFIX
from bulkupdate.models import Row

#: Number of kinds of ids to tell apart, and number of ids to show.
_KINDS = 100
_SHOWN = 3

_LENGTH = len(TASK_PREFIX)

#: Most ids of other kinds that are pointed out, if they are not one in a hundred.
_FEW = 3


class OddId(msgspec.Struct, frozen=True):
    """An id that is unlike the others, and the first row that has it."""

    row: int
    id: str


class OddOwners:
    """Finder of owners whose ids do not begin as those of users do.

    Attributes:
        count: number of rows that have one.
        first: the first of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: list[OddId] = []

    def add(self, rows: Sequence[Row], owners: Sequence[object]) -> None:
        """Add rows with the owners that they set."""
        # The rows of a file have few different owners: which ones is found in C.
        odd = {one for one in {*owners} if isinstance(one, str) and not one.startswith(USER_PREFIX)}
        for row, owner in zip(rows, owners, strict=True) if odd else ():
            if isinstance(owner, str) and owner in odd:
                self.count += 1
                if len(self.first) < _SHOWN and all(owner != one.id for one in self.first):
                    self.first.append(OddId(row.number, owner))


class _Kind:
    """Ids of a kind: how many, and the first few."""

    __slots__ = ("count", "first")

    def __init__(self) -> None:
        self.count = 0
        self.first: list[OddId] = []


class OddIds:
    """Finder of ids that are unlike most others. It keeps a bounded number of them.

    Ids are alike if they begin with the same word and an underscore (as `opp_`), or if none does
    and they are all digits, all letters, or neither. Where half of the ids or more begin as those
    of tasks do, all others are unlike them; else a few are unlike the kind that is in the majority.
    """

    def __init__(self) -> None:
        self._tasks = _Kind()
        self._kinds = {TASK_PREFIX: self._tasks}

    def add(self, rows: Sequence[Row]) -> None:
        """Add the ids of rows."""
        # Nearly all ids begin in the same way.
        if self._tasks.count >= _SHOWN and {row.id[:_LENGTH] for row in rows} == {TASK_PREFIX}:
            self._tasks.count += len(rows)
            return
        for row in rows:
            self._add(row.number, row.id)

    def _add(self, row: int, id_: str) -> None:
        name = id_[: id_.find("_") + 1] or _look(id_)
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds.setdefault(name if len(self._kinds) < _KINDS else "", _Kind())
        kind.count += 1
        if kind.count <= _SHOWN:
            kind.first.append(OddId(row, id_))

    @property
    def found(self) -> tuple[int, list[OddId]]:
        """The number of ids that are unlike most others, and the first few of them."""
        kinds = sorted(self._kinds.values(), key=lambda kind: kind.count)
        most = kinds.pop().count if kinds else 0
        count = sum(kind.count for kind in kinds)
        if self._tasks.count >= count + most - self._tasks.count:
            kinds = [kind for kind in self._kinds.values() if kind is not self._tasks]
            count = sum(kind.count for kind in kinds)
        elif count >= most or count > max(_FEW, (most + count) // 100):
            return 0, []
        odd = sorted((one for kind in kinds for one in kind.first), key=lambda one: one.row)
        return count, odd[:_SHOWN]


def _look(id_: str) -> str:
    return "digits" if id_.isdigit() else "letters" if id_.isalpha() else "mixed"
