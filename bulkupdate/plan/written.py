"""What a run has written to a task, or may have written: its own values, field by field.

A map of what was written is never changed: `wrote` returns another one, so that an earlier one can
be taken again.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

#: The place of a value that is not known.
_UNKNOWN = object()


class Ours(msgspec.Struct, frozen=True):
    """The values of a field that a run has left in a task, or may have left.

    Attributes:
        chain: the value before the first write, then what each write left or may have left. The
            first is None where it was not known.
        at: when the last of them was confirmed, in seconds since 1970; 0 where it was not.
        doubt: the reading during which the last of them became doubtful; 0 where it is certain.
    """

    chain: list[Any]
    at: float = 0.0
    doubt: int = 0

    def ends_with(self, value: Any) -> bool:
        """Whether the last write left this value, or may have left it."""
        return bool(self.chain[-1] == _plain(value))

    def holds(self, expected: Any, found: Any) -> bool:
        """Whether the value found is one of ours, and the one expected stood before it."""
        if found not in self.chain[1:]:
            return False
        last = len(self.chain) - 1 - self.chain[::-1].index(found)
        return expected in self.chain[:last]


#: What a run has written to a task, by field; empty where it has written nothing.
Written = Mapping[str, Ours]


def wrote(
    known: Written,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    at: float = 0.0,
    doubt: int = 0,
) -> dict[str, Ours]:
    """What a run has written to a task after one more write.

    Args:
        known: what it had written before.
        before: the values that the write found, by field, as far as they are known.
        after: the values that it left or may have left, by field.
        at: when it was confirmed, in seconds since 1970; 0 where it was not.
        doubt: the reading during which it is doubtful; 0 where it is certain.
    """
    found = dict(known)
    for name, value in after.items():
        ours, old = known.get(name), before.get(name, _UNKNOWN)
        if ours is None or (old is not _UNKNOWN and old not in ours.chain):
            # Another hand has written in between, so that what we left before is gone.
            chain = [None if old is _UNKNOWN else old]
        else:
            chain = ours.chain
        if chain[-1] != (left := _plain(value)):
            chain = [*chain, left]
        found[name] = Ours(chain, at, doubt)
    return found


def perhaps_trimmed(known: Written, sent: Mapping[str, Any]) -> dict[str, Ours]:
    """What a run has written to a task, where no answer has told what its last write has left.

    A server may trim texts, so a text without the blanks around it is of this run too.

    Args:
        known: what the run has written or may have written, with that write.
        sent: the values that it has sent, by field.
    """
    found = dict(known)
    for name, value in sent.items():
        ours = known.get(name)
        if ours is None or len(ours.chain) < 2 or not isinstance(value, str):
            continue
        if (trimmed := value.strip()) not in (value, *ours.chain[1:]):
            found[name] = Ours([*ours.chain[:-1], trimmed, ours.chain[-1]], ours.at, ours.doubt)
    return found


def _plain(value: Any) -> Any:
    """A value as it comes back from the disk."""
    return list(value) if isinstance(value, tuple) else value
