"""`export`: the pending tasks as they are, as a file of edits that changes nothing."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import InputError, RunStoppedError, setting
from bulkupdate.journal import published
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.values import TASK_NAMES, live_values
from bulkupdate.models import Task
from bulkupdate.plan import LiveTasks, People, Selection
from bulkupdate.reader import Edit, EditsFile, Format, LeftOut, format_to_write
from bulkupdate.session.editsfile import write_edits
from bulkupdate.session.reading import live_reader
from bulkupdate.stop import Stop

#: The fields of an edit that a live task tells, in the order of the columns.
FIELDS = tuple(TASK_NAMES)

#: Column for people, which the reader ignores → the name of its value in a Task.
_CONTEXT = {
    "type": "type",
    "status": "status",
    "campaign": "campaignId",
    "lead": "leadId",
    "contact": "contactId",
}
CONTEXT = ("assignee", "due", *_CONTEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The result of an export.

    Attributes:
        tasks: number of tasks in the file.
        listed: number of tasks that the server listed.
        requests: number of requests.
        left_out: the values that the file can't hold, and leaves alone.
        notes: what could not be read.
    """

    tasks: int
    listed: int
    requests: int
    left_out: LeftOut
    notes: list[str] = field(default_factory=list)


async def export_tasks(
    endpoint: Endpoint,
    path: str | Path,
    *,
    selection: Selection | None = None,
    overwrite: bool = False,
    allow_few: bool = False,
    rate: Rate = "auto",
    retry: RetryPolicy | None = None,
    stop: Stop | None = None,
    on_page: Callable[[int], object] = lambda _: None,
) -> Exported:
    """Write the pending tasks to a file of edits that holds what is there now.

    Args:
        endpoint: the server and the API key.
        path: the file: .csv, .jsonl or .xlsx.
        selection: the tasks to write; None for all.
        overwrite: whether to replace a file that exists.
        allow_few: whether a team without a task is no error.
        rate: "auto" follows the server; a rate is a ceiling; None means no limit.
        retry: the backoff between attempts, and how long the server may be down.
        stop: ends the export; the file is not written.
        on_page: is called with the number of tasks so far, after each page.

    Raises:
        ConfigError: the file exists, can't be written, or has another suffix.
        InputError: an owner stands for no user, or no task shows what is selected by.
        RunStoppedError: the tasks can't be read whole, or `stop` was set.
        JournalError: the file or a temporary one could not be written.
    """
    path, format_ = Path(path), format_to_write(Path(path))
    with published(path, overwrite=overwrite) as part:
        return await export_to(
            part,
            endpoint,
            format_,
            selection=selection or Selection(),
            allow_few=allow_few,
            rate=rate,
            retry=retry or RetryPolicy(),
            stop=stop or Stop(),
            on_page=on_page,
        )


async def export_to(
    part: Path,
    endpoint: Endpoint,
    format_: Format,
    *,
    selection: Selection,
    allow_few: bool,
    rate: Rate,
    retry: RetryPolicy,
    stop: Stop,
    on_page: Callable[[int], object],
    has_mark: bool = True,
) -> Exported:
    """Write the export to a file that nobody else uses yet; see `export_tasks`.

    Args:
        part: the file.
        endpoint: the server and the API key.
        format_: the format of the file.
        selection: the tasks to write.
        allow_few: whether a team without a task is no error.
        rate: the limit of the requests.
        retry: the backoff between attempts.
        stop: ends the export.
        on_page: is called with the number of tasks so far, after each page.
        has_mark: whether a CSV file begins with a byte order mark.
    """
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="bulkupdate-") as directory:
        live = LiveTasks(Path(directory) / "live")
        with contextlib.closing(live):
            async with live_reader(endpoint, rate, retry, stop) as reader:
                known = await reader.known()
                people = People(known.members)
                owners = selection.owners(people)
                filters = selection.filters(owners, now)
                async for _ in reader.tasks(live, filters):
                    on_page(live.listed)
            _check(live, selection, may_be_empty=allow_few or bool(filters))
            file = EditsFile(format_, FIELDS, CONTEXT, zone=selection.zone, has_mark=has_mark)
            edits = _edits(selection.chosen(live, owners, now), people, selection.zone or UTC)
            await asyncio.to_thread(write_edits, file, part, _until(stop, edits))
            if stop.is_set:
                raise RunStoppedError(stop.text or "stopped")
            return Exported(
                tasks=file.rows,
                listed=live.listed,
                requests=reader.traffic.requests,
                left_out=file.left_out,
                notes=[known.note] if known.note else [],
            )


def _check(live: LiveTasks, selection: Selection, *, may_be_empty: bool) -> None:
    """Check that a list can be what the team has.

    Raises:
        RunStoppedError: it holds no task.
        InputError: no task shows a field that is selected by.
    """
    if not (live.listed or may_be_empty):
        raise RunStoppedError(
            f"the server lists no task: if this is right, {setting('allow_few')} accepts it"
        )
    if live.listed and (name := selection.unseen(live.shown)):
        raise InputError(f"no task shows its {name}, so none can be selected by it")


def _until(stop: Stop, edits: Iterable[Edit]) -> Iterator[Edit]:
    """Some edits, as long as no stop is set: a long file is not finished first.

    Raises:
        RunStoppedError: it is set.
    """
    for edit in edits:
        if stop.is_set:
            raise RunStoppedError(stop.text or "stopped")
        yield edit


def _edits(tasks: Iterable[Task], people: People, zone: tzinfo) -> Iterator[Edit]:
    for task in tasks:
        values = live_values(task.fields)
        yield Edit(task.id, values, _context(task, values, people, zone))


def _context(task: Task, values: Mapping[str, Any], people: People, zone: tzinfo) -> dict[str, str]:
    """What people want to see beside the fields of a task."""
    try:
        due = datetime.fromisoformat(values["dueDate"]).astimezone(zone)
        shown = f"{due:%a %d %b %Y %H:%M}"
    except (ValueError, TypeError):
        shown = ""
    found = {"assignee": people.shown(str(values["assignedTo"])), "due": shown}
    for name, shown_as in _CONTEXT.items():
        value = task.fields.get(shown_as)
        found[name] = value if isinstance(value, str) else ""
    return found
