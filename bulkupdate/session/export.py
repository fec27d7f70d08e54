"""`export`: the pending tasks as they are, as a file of edits that changes nothing."""

import asyncio
import contextlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.errors import ConfigError, InputError, RunStoppedError, check_flags, setting
from bulkupdate.journal import published
from bulkupdate.lemlist.accounts import Account, Accounts
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.rate import Rate
from bulkupdate.lemlist.values import TASK_NAMES, live_values
from bulkupdate.models import Task
from bulkupdate.plan import LiveTasks, People, Selection
from bulkupdate.reader import Edit, EditsFile, Format, LeftOut, format_to_write
from bulkupdate.session.editsfile import write_edits
from bulkupdate.session.listed import moved
from bulkupdate.session.reading import Known, Limiters, LiveReader
from bulkupdate.session.settings import check_kinds
from bulkupdate.session.sidebyside import Lines, endpoints_of, of, read_each, shared_teams
from bulkupdate.session.threads import in_thread
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
        notes: what could not be read, which accounts are of one team, or that nothing is selected.
        accounts: number of tasks in the file by account; empty without accounts.
    """

    tasks: int
    listed: int
    requests: int
    left_out: LeftOut
    notes: list[str] = field(default_factory=list)
    accounts: dict[str, int] = field(default_factory=dict)


async def export_tasks(
    endpoint: Endpoint | None,
    path: str | Path,
    *,
    accounts: Accounts | None = None,
    selection: Selection | None = None,
    overwrite: bool = False,
    allow_few: bool = False,
    rate: Rate = "auto",
    retry: RetryPolicy | None = None,
    stop: Stop | None = None,
    on_page: Callable[[int], object] = lambda _: None,
    limiters: Limiters | None = None,
) -> Exported:
    """Write the pending tasks to a file of edits that holds what is there now.

    Args:
        endpoint: the server and the API key; None with accounts.
        path: the file: .csv, .jsonl or .xlsx.
        accounts: the accounts whose tasks are written, in their order. They are read side by side,
            and each row names the account of its task.
        selection: the tasks to write; None for all.
        overwrite: whether to replace a file that exists.
        allow_few: whether a team without a task is no error.
        rate: "auto" follows the server; a rate is a ceiling; None means no limit.
        retry: the backoff between attempts, and how long the server may be down.
        stop: ends the export; the file is not written.
        on_page: is called with the number of tasks so far, of all accounts, after each page.
        limiters: makes the limiter of each account, as `bulkupdate.fleet.SharedLimits` does for a
            limit that other machines share; None for limiters of this process alone, with `rate`.

    Raises:
        ConfigError: the file exists, can't be written, or has another suffix; or a key is missing,
            or is that of two accounts.
        InputError: an owner stands for no user, or no task shows what is selected by.
        RunStoppedError: the tasks of an account can't be read whole, or `stop` was set.
        JournalError: the file or a temporary one could not be written.
    """
    check_flags(overwrite=overwrite, allow_few=allow_few)
    check_kinds(rate=rate)
    path, format_ = Path(path), format_to_write(Path(path))
    source = endpoint or accounts
    if source is None or None not in (endpoint, accounts):
        raise ConfigError("an export needs an endpoint or accounts, and not both")
    with published(path, overwrite=overwrite) as part:
        return await export_to(
            part,
            source,
            format_,
            selection=selection or Selection(),
            allow_few=allow_few,
            rate=rate,
            retry=retry or RetryPolicy(),
            stop=stop or Stop(),
            on_page=on_page,
            limiters=limiters,
        )


async def export_to(
    part: Path,
    source: Endpoint | Accounts,
    format_: Format,
    *,
    selection: Selection,
    allow_few: bool,
    rate: Rate,
    retry: RetryPolicy,
    stop: Stop,
    on_page: Callable[[int], object],
    has_mark: bool = True,
    limiters: Limiters | None = None,
) -> Exported:
    """Write the export to a file that nobody else uses yet; see `export_tasks`.

    Args:
        part: the file.
        source: the server and the API key; or the accounts.
        format_: the format of the file.
        selection: the tasks to write.
        allow_few: whether a team without a task is no error.
        rate: the limit of the requests of each key.
        retry: the backoff between attempts.
        stop: ends the export.
        on_page: is called with the number of tasks so far, of all accounts, after each page.
        has_mark: whether a CSV file begins with a byte order mark.
        limiters: as for `export_tasks`.
    """
    accounts = source if isinstance(source, Accounts) else Accounts([Account.only(source)])
    has_accounts = isinstance(source, Accounts)
    endpoints = endpoints_of(accounts, accounts)
    with tempfile.TemporaryDirectory(prefix="bulkupdate-") as directory:
        export = _Export(Path(directory), selection, on_page, allow_few=allow_few)
        found = await read_each(
            accounts.values(),
            endpoints,
            rate,
            retry,
            stop,
            export.read,
            needs_all=True,
            limiters=limiters,
        )
        read = {one.account.name: one.value for one in found if one.value is not None}
        export.check(read)
        file = EditsFile(
            format_,
            FIELDS,
            CONTEXT,
            zone=selection.zone,
            has_mark=has_mark,
            has_accounts=has_accounts,
        )
        edits = (edit for name, one in read.items() for edit in one.edits(name))
        await asyncio.to_thread(write_edits, file, part, _until(stop, edits))
        if stop.is_set:
            raise RunStoppedError(stop.text or "stopped")
    return Exported(
        tasks=file.rows,
        listed=sum(one.listed for one in read.values()),
        requests=sum(one.requests for one in read.values()),
        left_out=file.left_out,
        notes=[*_notes(read), *([] if file.rows or selection.selects_all else [_NONE])],
        accounts={name: file.accounts[name] for name in accounts} if has_accounts else {},
    )


class _Read(NamedTuple):
    """What was read of an account.

    Attributes:
        known: its team.
        owners: the owners that are selected and known there, by what they are called.
        lines: its selected tasks.
        listed: number of tasks that the server listed.
        requests: number of requests.
        unseen: the name of a field that is selected by and that no task shows; "" for none.
        moved: what is to be said of a list that moved.
    """

    known: Known
    owners: dict[str, str]
    lines: Lines
    listed: int
    requests: int
    unseen: str
    moved: Sequence[str] = ()

    def edits(self, account: str) -> Iterator[Edit]:
        """The edits of its tasks."""
        for task_id, values, own in self.lines:
            yield Edit(task_id, values, own, account=account)


class _Export:
    """The export of some accounts. The tasks of each are on disk until all have been read.

    Args:
        directory: for their files.
        selection: the tasks to write.
        on_page: is called with the number of tasks so far, of all accounts, after each page.
        allow_few: whether an account without a task is no error.
    """

    def __init__(
        self,
        directory: Path,
        selection: Selection,
        on_page: Callable[[int], object],
        *,
        allow_few: bool,
    ) -> None:
        self._directory = directory
        self._selection = selection
        self._on_page = on_page
        self._allow_few = allow_few
        self._now = datetime.now(UTC)
        self._numbers = itertools.count()
        #: Number of tasks so far, by account.
        self._listed: Counter[str] = Counter()

    async def read(self, account: Account, reader: LiveReader, stop: Stop) -> _Read:
        """Read an account.

        Raises:
            RunStoppedError: its tasks can't be read.
            InputError: an owner stands for several of its users.
            JournalError: its tasks can't be stored.
        """
        try:
            return await self._read(account.name, reader, stop)
        except InputError as error:
            raise InputError(of(account, str(error))) from error

    async def _read(self, name: str, reader: LiveReader, stop: Stop) -> _Read:
        selection, path = self._selection, self._directory / str(next(self._numbers))
        known = await reader.known()
        people, lines = People(known.members), Lines(path.with_suffix(".jsonl"))
        by_name = selection.known_owners(people)
        owners = [*by_name.values()]
        if selection.assigned_to and not owners:
            # Without an owner, all tasks would be selected.
            return _Read(known, {}, lines, 0, reader.traffic.requests, "")
        with contextlib.closing(LiveTasks(path)) as live:
            filters = selection.filters(owners, self._now)
            async for _ in reader.tasks(live, filters):
                self._listed[name] = live.listed
                self._on_page(self._listed.total())
            if not (live.listed or self._allow_few or filters):
                raise RunStoppedError(
                    f"the server lists no task: if this is right, {setting('allow_few')} accepts it"
                )
            unseen = selection.unseen(live.shown) if live.listed else ""
            chosen = selection.chosen(live, owners, self._now)
            edits = _edits(chosen, people, selection.zone or UTC)
            kept = ((one.id, one.values, one.own) for one in _until(stop, edits))
            await in_thread(stop, lines.write, kept)
            requests = reader.traffic.requests
            return _Read(known, by_name, lines, live.listed, requests, unseen, moved(live))

    def check(self, read: Mapping[str, _Read]) -> None:
        """Check that what is selected by is there in one account at least.

        Raises:
            InputError: it is in none of them.
        """
        known = {text for one in read.values() for text in one.owners}
        if unknown := next((one for one in self._selection.assigned_to if one not in known), None):
            members = [member for one in read.values() for member in one.known.members or ()]
            replace(self._selection, assigned_to=[unknown]).owners(People(members))
        showing = [one for one in read.values() if one.listed and not one.unseen]
        for one in read.values() if not showing else ():
            if one.unseen:
                raise InputError(_unseen(one.unseen))


def _notes(read: Mapping[str, _Read]) -> Iterator[str]:
    """What could not be read, and which accounts show the same tasks."""
    for name, one in read.items():
        told = [one.known.note, _unseen(one.unseen) if one.unseen else "", *one.moved]
        yield from (f"{name}: {note}" if name else note for note in told if note)
    for shared in shared_teams({name: one.known.team for name, one in read.items()}):
        yield f"{shared}: their tasks are in the file more than once"


#: What is said of conditions that no task meets.
_NONE = "no pending task is as the filters ask: look at their spelling"


def _unseen(name: str) -> str:
    return f"no task shows its {name}, so none can be selected by it"


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
