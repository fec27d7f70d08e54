"""Compare an edited input with its earlier version, row by row."""

import bisect
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bulkupdate.journal.digests import SENDS, Digests

#: Number of parts in which the tasks are compared: a dictionary then holds few rows.
_PARTS = 64


class Changes(NamedTuple):
    """The differences between an input and its earlier version.

    Attributes:
        changed: rows with other content than an earlier row of the same task.
        added: rows without a counterpart in the earlier input.
        removed: rows of the earlier input without a counterpart now, by their number there.
        kept: for each row now, the number of its settled row in the earlier input. It is 0 for a
            row that is not settled, and for a row that must be sent again to keep the order of its
            task.
    """

    changed: list[int]
    added: list[int]
    removed: list[int]
    kept: "array[int]"


def compare(before: Digests, after: Digests, line: Callable[[int], int]) -> Changes:
    """Find the differences between an input and its earlier version.

    Args:
        before: the digests of the earlier input.
        after: the digests of the input now.
        line: the function that gives the line of the log that settles a row of the earlier input,
            by the number of the row; 0 without such a line. Lines are in the order in which rows
            were applied.
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
    """Compare the rows of one task: pairs of number and content, in their order."""
    matches, fresh, gone = _match(before, after, line)
    # A row that was applied before a removed edit is sent again: otherwise the removed edit would
    # win.
    latest = max((line(was) for was, content in gone if content & SENDS), default=0)
    is_sent = False
    for number, content in after:
        was = matches.get(number, 0)
        applied = line(was) if was else 0
        if not content & SENDS:
            # The row sends nothing, so the order does not matter.
            changes.kept[number - 1] = was if applied else 0
            continue
        # A row is also sent if it follows a sent row, or now follows one that was applied later.
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
    """Match rows: number now → number before, the new rows, and the removed rows."""
    # Settled and other rows are kept apart: the others under the complement of their content.
    by_content: dict[int, list[int]] = {}
    for number, content in before:
        by_content.setdefault(content if line(number) else ~content, []).append(number)
    matches: dict[int, int] = {}
    fresh = []
    latest = 0
    for number, content in after:
        # Among rows with equal content, prefer a settled one that keeps the order.
        if same := by_content.get(content):
            index = bisect.bisect_right(same, latest)
            latest = same.pop(index if index < len(same) else 0)
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
    """The numbers of the rows in parts. All rows of one task are in the same part."""
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
