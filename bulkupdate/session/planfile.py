"""The file of a plan: a file of edits that holds only what differs, with expectations."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulkupdate.fields import MAX_MEDIA
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.reader import Edit, EditsFile, Format
from bulkupdate.session.editsfile import write_edits

if TYPE_CHECKING:
    from bulkupdate.session.planrecord import Plan

#: The fields of a plan, in the order of its columns.
FIELDS = (*TASK_NAMES, "done")


async def write_plan(
    plan: "Plan",
    part: Path,
    format_: Format,
    *,
    has_mark: bool = True,
    on_left_out: Callable[[Edit, Collection[str]], object] = lambda *_: None,
) -> EditsFile:
    """Write a plan to a file of edits that holds only what differs, with expectations.

    Args:
        plan: the plan.
        part: the file, which nobody else uses yet.
        format_: CSV, JSONL or XLSX.
        has_mark: whether a CSV file begins with a byte order mark.
        on_left_out: as in `EditsFile`. It is called in another thread.

    Returns:
        What was written, with the values that the file can't hold.

    Raises:
        JournalError: it can't be written, or does not read back as what was written.
    """
    names = tuple(name for name in FIELDS if plan.fields[name])
    if format_ is Format.JSONL:
        names += tuple(name for name in ("images", "videos") if plan.fields[name])
    expected = tuple(name for name in FIELDS if plan.expected[name])
    own = ("title", "assignee", *(("rule",) if plan.evaluation is not None else ()))
    file = EditsFile(
        format_,
        names,
        own,
        expected=expected,
        is_whole=True,
        zone=None if plan.zone is UTC else plan.zone,
        has_mark=has_mark,
        has_accounts=plan.has_accounts,
        on_left_out=on_left_out,
    )
    await asyncio.to_thread(write_edits, file, part, _edits(plan, file, names))
    return file


def _edits(plan: "Plan", file: EditsFile, names: tuple[str, ...]) -> Iterator[Edit]:
    """The rows of a plan, without those of which the format of the file can't hold all."""
    for change in plan.changes():
        if lost := [name for name in change.after if name not in names]:
            for name in lost:
                file.left_out.add(change.id, name, change.account)
            continue
        owner = change.after.get("assignedTo") or change.before.get("assignedTo")
        shown = plan.people.shown(owner) if isinstance(owner, str) and owner else ""
        own = {"title": change.title, "assignee": shown, "rule": change.rule or ""}
        for values in _updates(change.after):
            yield Edit(change.id, values, own, change.expect, change.account)


def _updates(after: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The values of a task in as few updates as its images and videos allow.

    `done` is in the last one: no update reaches a completed task.
    """
    if len(after.get("images", ())) + len(after.get("videos", ())) > MAX_MEDIA:
        yield {name: value for name, value in after.items() if name not in ("videos", "done")}
        after = {name: after[name] for name in ("videos", "done") if name in after}
    yield after
