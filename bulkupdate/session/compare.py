"""`compare`: rows are judged by the live tasks, and only what differs is sent.

::

    images, log ──▶ what this run wrote ─┐
    reading ──▶ live tasks ──────────────┴─▶ judge ──▶ already, conflict: a result, no request
                                               │
                                               └─▶ image on the disk ──▶ request ──▶ answer

After each reading, all rows that are left are judged at once. A row is judged again before its
request, and so is one that had to wait for an earlier row of its task.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any, NamedTuple

from bulkupdate.codec import replaced
from bulkupdate.errors import InputError, JournalError, RunStoppedError, count, setting
from bulkupdate.journal import ImagesFile, Ledger, RunFiles
from bulkupdate.lemlist.values import TASK_NAMES, left_values
from bulkupdate.models import ErrorInfo, Outcome, Reason, Result, Row, Task, TaskUpdate, unsent
from bulkupdate.plan import (
    Judge,
    Kind,
    LiveTask,
    LiveTasks,
    People,
    RowSet,
    Verdict,
    Written,
    judged_fields,
    perhaps_trimmed,
    wrote,
)
from bulkupdate.session.feeder import RowSource
from bulkupdate.session.listed import moved, refuse_few
from bulkupdate.session.reading import LiveReader
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.settings import RunConfig
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop, StoppedError

#: Rows that are judged before other tasks may run.
_BATCH = 64

#: Rows that name no member of the team and are told one by one.
_NAMED = 20

#: A reading is fresh for at least this many times as long as it took.
_TIMES_TOOK = 10.0


#: Fields of a task that say whether it is completed.
_COMPLETION = {"status", "completedAt"}

#: Fields of a task that rows are judged by.
_JUDGED = (*TASK_NAMES.values(), *_COMPLETION)


class Rows(NamedTuple):
    """The rows of a run that is compared.

    Attributes:
        source: the input, or the rows of one account.
        number: number of rows of the input.
        followed: the rows that have a later row of their task, if these are merged.
        remaining: makes what decides which rows have to be settled, for one pass.
    """

    source: RowSource
    number: int
    followed: RowSet | None
    remaining: Callable[[], Remaining]


class _Flight(NamedTuple):
    """A row with a request in flight.

    Attributes:
        task: its task, as far as it is known.
        written: what this run has written to it, with this request.
        is_only: whether no other row that is left is about the task, so that nobody will ask what
            was written to it.
    """

    task: Task | None
    written: Written
    is_only: bool


class Comparison:
    """The comparison of rows with the live tasks, for one session.

    Args:
        config: the settings of the run.
        files: the files of the run.
        reader: reads the tasks.
        writer: receives the rows that need no request.
        ledger: the outcomes so far.
        rows: the rows of the run, or of its part.
        stop: the stop of the run, or of its part.
        images: receives what is overwritten.
        is_known: whether a row is the one that was checked under its number.
        listed: number of tasks that the last session has seen; None without one.
        note: takes messages for the user.

    Attributes:
        live: the live tasks, and what was written to them.
        listed: number of tasks in the last reading of the whole list, without those that the run
            has completed since; None before it.

    Raises:
        JournalError: the live tasks can't be stored.
    """

    def __init__(
        self,
        config: RunConfig,
        files: RunFiles,
        reader: LiveReader,
        writer: Writer,
        ledger: Ledger,
        rows: Rows,
        stop: Stop,
        images: ImagesFile,
        is_known: Callable[[Row], bool],
        listed: int | None = None,
        note: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.listed = listed
        self._invalid = 0
        #: Tasks with a single row that changes them, and that this run has not written to before.
        self._changing = 0
        self._note = note
        self._people = People(None)
        self._settled = RowSet(rows.number)
        self._rows = rows
        self._config = config
        self._reader = reader
        self._writer = writer
        self._ledger = ledger
        self._stop = stop
        self._is_known = is_known
        self._images = images
        self.live = self._live = LiveTasks(files.live)
        self._judge = Judge(self._live, sends_unlisted=config.unlisted == "send")
        self._now = asyncio.get_running_loop().time
        self._read_at = self._read_at_wall = self._took = 0.0
        self._is_reading = False
        self._has_read = asyncio.Event()
        self._in_flight: dict[int, _Flight] = {}
        self._is_idle = asyncio.Event()
        self._has_closed = asyncio.Event()
        #: With `first`: tasks that have rows on their way → the number of these rows.
        self._open: Counter[str] = Counter()

    async def begin(self) -> None:
        """Read the tasks, and settle what needs no request.

        Raises:
            RunStoppedError: the tasks can't be read whole, more of them would change than
                `max_changes` allows, rows name people who are no members, or a stop came.
            InputError: the input can't be read.
            JournalError: a file of the run can't be read, or the live tasks stored.
        """
        known = await self._reader.known()
        self._people = People(known.members)
        if known.note:
            self._note(known.note)
        await self._read(self._rows.source)
        if self._invalid > _NAMED:
            self._note(f"and {count(self._invalid - _NAMED, 'row')} more")
        if self._invalid and not self._config.skip_invalid:
            rows = count(self._invalid, "invalid row")
            how = setting("skip_invalid")
            cure = f"enter {self._people.to_enter}, or leave such rows out with {how}"
            text = f"{rows}: nothing was sent in this session: {cure}"
            self._stop.set(text, Reason.INVALID_ROWS)
            raise RunStoppedError(rows)
        self._check_changes(self._live.changed + self._changing)

    async def _read(self, source: RowSource) -> None:
        """Read the tasks that the rows are about, and settle every row that needs no request."""
        began = self._now()
        self._live.clear()
        fields: set[str] = set()
        async for rows in self._left(source):
            self._live.choose([row.id for row in rows])
            fields.update(judged_fields(rows))
        await self._read_list(fields)
        ended = self._now()
        self._people.add_owners(self._live.owners)
        # Only now rows may be judged by it.
        self._read_at, self._read_at_wall = ended, time.time()
        await self._settle_at_once(source)
        # Else many rows with a short list would be judged again and again.
        self._took = self._now() - began

    async def _read_list(self, fields: Collection[str]) -> None:
        """Read the list to its end, or until it has shown each task of the rows and each field."""
        limit = self._config.max_changes
        needs_all = limit is not None and limit.needs_all
        async for _ in self._reader.tasks(self._live, fields=fields, needs_all=needs_all):
            pass
        for note in moved(self._live):
            self._note(note)
        if not self._live.is_whole:
            return
        if not self._config.allow_few:
            refuse_few(self._live.listed, self.listed, self._stop)
        self.listed = self._live.listed

    async def _left(self, source: RowSource) -> AsyncIterator[list[Row]]:
        """The rows that may be sent and are not settled yet, a few at a time."""
        remaining, rows = self._rows.remaining(), source.rows()
        with contextlib.closing(rows):
            while batch := list(itertools.islice(rows, _BATCH)):
                await asyncio.sleep(0)
                self._stop.check()
                yield [row for row in batch if row.is_sent and self._is_left(row, remaining)]
        if source.has_changed():
            raise InputError(f"{source.name} was written to while it was compared")

    def _is_left(self, row: Row, remaining: Remaining) -> bool:
        if row.number in self._settled:
            # Later rows of its task are sent after it.
            remaining.follow(row)
            return False
        return remaining.includes(row)

    async def _settle_at_once(self, source: RowSource) -> None:
        """Settle every row that needs no request. A later row of an open task has to wait."""
        async for rows in self._left(source):
            tasks = self._live.find_all({row.id for row in rows})
            changes: dict[str, bool] = {}
            for row in rows:
                if not self._is_known(row):
                    name = f"{source.name}: row {row.number}"
                    raise InputError(f"{name} is not the one that was checked")
                known = tasks.get(row.id) or LiveTask()
                if row.id in changes:
                    known = replaced(known, changes=changes[row.id])
                if (is_sent := await self._settled_at_once(row, known)) is not None:
                    changes[row.id] = is_sent or bool(known.changes)
            if changes:
                self._live.leave_open(changes)

    async def _settled_at_once(self, row: Row, known: LiveTask) -> bool | None:
        """Settle a row that needs no request.

        Returns:
            None; or for a row that is left to its turn, whether it changes its task, if that task
            has other rows.
        """
        judged = self._meant_and_judged(row, known)
        is_sent = isinstance(judged, Verdict)
        is_invalid = isinstance(judged, Result) and judged.outcome is Outcome.INVALID
        has_turn = is_sent or known.changes is not None or self._is_followed(row)
        if has_turn and not is_invalid:
            if known.rows > 1:
                return is_sent
            self._changing += is_sent and not known.written
            return None
        self._invalid += is_invalid
        if is_invalid and self._invalid <= _NAMED and isinstance(judged, Result) and judged.error:
            self._note(f"row {row.number}, {row.id}: {judged.error.message}")
        await self._put(row, judged if isinstance(judged, Result) else None)
        return None

    def _is_followed(self, row: Row) -> bool:
        return self._rows.followed is not None and row.number in self._rows.followed

    def bring_near(self, rows: list[Row]) -> None:
        """Take the tasks of rows from the disk together, that are about to be handed out.

        Raises:
            JournalError: they can't be read.
        """
        self._live.bring_near({row.id for row in rows if row.number not in self._settled})

    def is_settled(self, row: int) -> bool:
        """Whether a row has its outcome in this session, by its number."""
        return row in self._settled

    def _check_changes(self, changes: int) -> None:
        if (limit := self._config.max_changes) is None:
            return
        completed = sum(_is_completed(written) for _, written in self._live.written())
        listed = None
        if self._live.is_whole and self.listed is not None:
            listed = self.listed + completed
        if why := limit.refusal(changes, listed):
            text = f"{why}, and nothing was sent in this session"
            self._stop.set(text, Reason.TOO_MANY_CHANGES)
            raise RunStoppedError(text)

    async def settle_now(self, row: Row) -> bool:
        """With `first`: settle a row that is about to be handed out, if it needs no request.

        The session counts its requests, so this waits until the row can be judged: a row whose task
        has another row on its way is judged after that one.

        Raises:
            RunStoppedError: the tasks had to be read again, and can't be.
            InputError: the input can't be read again.
        """
        while self._open[row.id]:
            self._has_closed.clear()
            await self._has_closed.wait()
        await self._freshen()
        if row.number in self._settled:
            return True
        judged = self._meant_and_judged(row, self._live.find(row.id))
        if isinstance(judged, Verdict):
            self._open[row.id] += 1
            return False
        await self._put(row, judged)
        return True

    async def _put(self, row: Row, result: Result | None) -> None:
        self._settled.add(row.number)
        if result is not None:
            await self._writer.put(row, result)

    async def ready(self, row: Row) -> TaskUpdate | Result | None:
        """Judge a row whose turn it is. What its request overwrites is on the disk after this.

        Returns:
            The update to send; or the result of a row that needs no request; or None for a row
            that keeps its earlier result.

        Raises:
            StoppedError: the tasks had to be read again, and can't be.
            JournalError: the image can't be written.
        """
        try:
            await self._freshen()
        except RunStoppedError:
            raise StoppedError from None
        except InputError as error:
            self._stop.set(str(error), Reason.INPUT_CHANGED)
            raise StoppedError from None
        if row.number in self._settled:
            self._close_row(row)
            return None
        known = self._live.find(row.id)
        judged = self._meant_and_judged(row, known)
        if not isinstance(judged, Verdict) or judged.update is None:
            self._settled.add(row.number)
            self._close_row(row)
            return judged if isinstance(judged, Result) else None
        changes, before = judged.update.changes(), judged.before
        written = wrote(known.written, before or {}, changes, doubt=self._live.reading)
        # From here on, no reading begins before the request has its outcome.
        self._in_flight[row.number] = _Flight(known.task, written, known.rows == 1)
        await self._keep(row, before, changes, known.written)
        return judged.update

    def _meant_and_judged(self, row: Row, known: LiveTask) -> Verdict | Result | None:
        """The verdict on a row that is to be sent; else its result, if it has a new one.

        The owner of a task may have left the team, and stays a right one only while it is theirs.
        """
        try:
            row = self._people.resolved(row, lambda _: known.owner)
        except ValueError as error:
            return None if self._was_updated(row) else _invalid(row, error)
        if row.update is None:
            raise AssertionError("only valid rows are handed out")
        verdict = self._judged(row, row.update, known)
        return verdict if verdict.kind is Kind.SEND else self._result(row, verdict)

    def _judged(self, row: Row, update: TaskUpdate, known: LiveTask) -> Verdict:
        """Judge a row.

        A row that was updated is sent again only to stand after an earlier row of its task. It
        overwrites no value of another hand.
        """
        verdict = self._judge.judge(row, update, known)
        if verdict.update is None or not all(map(self._was_updated, (*row.merged, row))):
            return verdict
        ours, before = known.written, verdict.before or {}
        left = {
            name: value
            for name, value in verdict.update.changes().items()
            if name in ours and (name not in before or before[name] in ours[name].chain[1:])
        }
        return verdict.only(left) if left else Verdict(Kind.ALREADY)

    def _was_updated(self, row: Row) -> bool:
        return self._ledger.outcome(row.number) is Outcome.UPDATED

    async def _keep(
        self, row: Row, before: dict[str, Any] | None, changes: dict[str, Any], ours: Written
    ) -> None:
        """Write what a request overwrites, without the values that this run has left there.

        A value that is not known is taken for one that it has left. A line without any value still
        says what is sent: after a crash, what the task shows then is known to be of this run. It
        also tells a request from an earlier one that is in doubt.
        """
        known = before or {}
        foreign = [
            name
            for name in changes
            if name not in ours or (name in known and known[name] not in ours[name].chain)
        ]
        if foreign or any(
            not ours[name].at or not ours[name].ends_with(value) for name, value in changes.items()
        ):
            shown = {name: known[name] for name in foreign if name in known}
            is_unlisted = before is None and bool(foreign)
            await self._images.keep(row, None if is_unlisted else shown, changes)

    def is_due(self) -> bool:
        """Whether the reading is still fresh enough to send what was judged by it."""
        return not self._is_stale

    def put_off(self, row: Row) -> None:
        """Take back that a row is ready: it waited until the reading was too old."""
        self._land(row)

    def _land(self, row: Row) -> _Flight:
        """A row has no request in flight any more."""
        flight = self._in_flight.pop(row.number)
        if not self._in_flight:
            self._is_idle.set()
        return flight

    def settled(self, row: Row, result: Result) -> Result:
        """Take over what an outcome tells about the task.

        Returns:
            The result as it is to be logged.
        """
        flight = self._land(row)
        self._settled.add(row.number)
        self._close_row(row)
        try:
            self._take_over(row, result, flight)
        except JournalError as error:
            # The result goes to the log all the same.
            self._stop.set(str(error), Reason.NOT_WRITTEN)
        return replaced(result, compared=True)

    def _take_over(self, row: Row, result: Result, flight: _Flight) -> None:
        if result.outcome is Outcome.FAILED:
            return  # The task is as it was.
        sent, answer = result.sent or {}, result.task or {}
        if sent.get("done") is True and self.listed:
            # The next list is shorter by this task.
            self.listed -= 1
        if flight.is_only:
            return
        written = flight.written
        if result.outcome is Outcome.UPDATED:
            written = wrote(written, {}, left_values(sent, answer), time.time())
            if flight.task is not None and _shows_others(answer, flight.task.fields, sent):
                self._live.merge(Task(answer))
        else:
            written = perhaps_trimmed(written, sent)
        self._live.keep(row.id, written)

    def _close_row(self, row: Row) -> None:
        if self._config.first is None:
            return
        self._open[row.id] -= 1
        if self._open[row.id] <= 0:
            del self._open[row.id]
        self._has_closed.set()

    def _result(self, row: Row, verdict: Verdict) -> Result | None:
        """The result of a row that needs no request; None where it keeps that of a request."""
        if self._was_updated(row):
            return None
        if verdict.kind is Kind.ALREADY:
            result = unsent(row, Outcome.UNCHANGED)
            return replaced(result, reason="already", compared=True)
        is_conflict = verdict.kind is Kind.CONFLICT
        outcome = Outcome.CONFLICT if is_conflict else Outcome.UNCONFIRMED
        error = self._people.named(verdict.error) if verdict.error is not None else None
        return replaced(unsent(row, outcome, error), compared=True)

    @property
    def _is_stale(self) -> bool:
        oldest = max(self._config.max_age, _TIMES_TOOK * self._took)
        # The loop's clock stands still while a machine is asleep, and the wall clock may be set.
        age = max(self._now() - self._read_at, time.time() - self._read_at_wall)
        return age > oldest

    async def _freshen(self) -> None:
        """Read the tasks again if the last reading is too old, with no request in flight."""
        while self._is_reading or self._is_stale:
            if self._is_reading:
                await self._has_read.wait()
                continue
            self._is_reading = True
            self._has_read.clear()
            try:
                while self._in_flight:
                    self._is_idle.clear()
                    await self._is_idle.wait()
                with await asyncio.to_thread(self._rows.source.again) as source:
                    await self._read(source)
            finally:
                self._is_reading = False
                self._has_read.set()

    def name_of(self, user_id: str) -> str:
        """A user for people, as far as the team could be read."""
        return self._people.shown(user_id)

    def close(self) -> None:
        """Close the live tasks."""
        self._live.close()


def _invalid(row: Row, error: ValueError) -> Result:
    return unsent(row, Outcome.INVALID, ErrorInfo("invalid_row", str(error)))


def _is_completed(written: Written) -> bool:
    """Whether this run has completed a task, so that the list does not show it any more."""
    return "done" in written and written["done"].at > 0 and written["done"].ends_with(True)


def _shows_others(
    answer: Mapping[str, Any], known: Mapping[str, Any], sent: Mapping[str, Any]
) -> bool:
    """Whether an answer shows another value where nothing was sent: one of another hand."""
    ours = {TASK_NAMES[name] for name in sent if name in TASK_NAMES}
    ours |= _COMPLETION if "done" in sent else set()
    return any(
        name in answer and answer[name] != known.get(name) for name in _JUDGED if name not in ours
    )
