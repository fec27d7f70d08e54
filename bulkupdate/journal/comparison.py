"""How an edited input differs from what it was, row by row."""

import bisect
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bulkupdate.journal.digests import SENDS, Digests

#: Rows are compared a part of the tasks at a time, so that few of them stand in a dictionary.
_PARTS = 64


class Changes(NamedTuple):
    """How an input differs from what it was.

    Attributes:
        changed: rows that say something else than a row of the same task did.
        added: rows without a counterpart in the earlier input.
        removed: rows of the earlier input, by their number there, without a counterpart now.
        kept: for each row now, the number of the settled row that it was; 0 for one that is not
            settled, or is to be sent again to keep the order of its task.
    """

    changed: list[int]
    added: list[int]
    removed: list[int]
    kept: "array[int]"


def compare(before: Digests, after: Digests, line: Callable[[int], int]) -> Changes:
    """Find out what has become of the rows of an input.

    Args:
        before: of the input as it was.
        after: of the input as it is now.
        line: the line of the log that settles a row of the earlier input, by its number; 0 where
            none does. Lines come in the order in which rows were applied.
    """
    changes = Changes([], [], [], array("I", bytes(4 * len(after))))
    for earlier, now in zip(_in_parts(before), _in_parts(after), strict=True):
        tasks_before, tasks_now = _by_task(before, earlier), _by_task(after, now)
        for task, rows in tasks_now.items():
            _compare_task(tasks_before.pop(task, []), rows, line, changes)
        for gone in tasks_before.values():
            changes.removed.extend(number for number, _ in gone)
    for numbers in (changes.changed, changes.added, changes.removed):
        numbers.sort()
    return changes


_Rows = list[tuple[int, int]]


def _compare_task(
    before: _Rows, after: _Rows, line: Callable[[int], int], changes: Changes
) -> None:
    """Compare the rows of one task, as number and content, in their order."""
    matches, fresh, gone = _match(before, after, line)
    # What was applied before an edit that is gone is sent again: or else that one would have the
    # last word.
    latest = max((line(was) for was, content in gone if content & SENDS), default=0)
    is_sent = False
    for number, content in after:
        was = matches.get(number, 0)
        applied = line(was) if was else 0
        if not content & SENDS:
            # It sends nothing, and so changes no order.
            changes.kept[number - 1] = was if applied else 0
            continue
        # So is what follows a row that is to be sent, or now follows one that was applied later.
        is_sent = is_sent or not applied or applied < latest
        if not is_sent:
            changes.kept[number - 1], latest = was, applied
    removed = [was for was, _ in gone]
    changes.changed.extend(fresh[: len(removed)])
    changes.added.extend(fresh[len(removed) :])
    changes.removed.extend(removed[len(fresh) :])


def _match(
    before: _Rows, after: _Rows, line: Callable[[int], int]
) -> tuple[dict[int, int], list[int], _Rows]:
    """Which row was which: matches by number, those that are new, those that are gone."""
    # Settled ones and others apart: the latter under the complement of what they say.
    by_content: dict[int, list[int]] = {}
    for number, content in before:
        by_content.setdefault(content if line(number) else ~content, []).append(number)
    matches: dict[int, int] = {}
    fresh = []
    latest = 0
    for number, content in after:
        # Of several that say the same, a settled one, and one that keeps the order.
        if same := by_content.get(content):
            place = bisect.bisect_right(same, latest)
            latest = same.pop(place if place < len(same) else 0)
            matches[number] = latest
        elif same := by_content.get(~content):
            matches[number] = same.pop(0)
        else:
            fresh.append(number)
    gone = sorted(
        (number, max(content, ~content))
        for content, numbers in by_content.items()
        for number in numbers
    )
    return matches, fresh, gone


def _in_parts(digests: Digests) -> "list[array[int]]":
    """The numbers of the rows, so that those of one task are together in a part."""
    parts = [array("I") for _ in range(_PARTS)]
    for number in range(1, len(digests) + 1):
        task, _ = digests.of(number)
        if task:
            parts[task % _PARTS].append(number)
    return parts


def _by_task(digests: Digests, numbers: Iterable[int]) -> dict[int, _Rows]:
    tasks: dict[int, _Rows] = defaultdict(list)
    for number in numbers:
        task, content = digests.of(number)
        tasks[task].append((number, content))
    return tasks
