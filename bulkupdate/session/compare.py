"""`compare`: rows are judged by the live tasks, and only what differs is sent.

::

    images, log ──▶ what this run wrote ─┐
    reading ──▶ live tasks ──────────────┴─▶ judge ──▶ already, conflict: a result, no request
                                               │
                                               └─▶ image on the disk ──▶ request ──▶ answer
"""

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from bulkupdate.codec import replaced
from bulkupdate.errors import InputError, JournalError, RunStoppedError, count, setting
from bulkupdate.journal import Image, ImagesFile, Ledger, RunFiles, read_images, read_journal
from bulkupdate.lemlist.values import left_values
from bulkupdate.models import ErrorInfo, Outcome, Reason, Result, Row, Task, TaskUpdate, unsent
from bulkupdate.plan import Judge, Kind, LiveTasks, Ours, People, RowSet, Verdict
from bulkupdate.reader import Input
from bulkupdate.session.reading import LiveReader
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.settings import RunConfig
from bulkupdate.session.threads import in_thread
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop, StoppedError

#: Rows that are judged before other tasks may run.
_BATCH = 64

#: A reading is fresh for at least this many times as long as it took.
_TIMES_TOOK = 10.0


class Comparison:
    """The comparison of rows with the live tasks, for one session.

    Args:
        config: the settings of the run.
        files: the files of the run.
        reader: reads the tasks.
        writer: receives the rows that need no request.
        ledger: the outcomes so far.
        remaining: the rows that have to be settled, for this use alone.
        rows: number of rows in the input.
        stop: the stop of the run.
        listed: number of tasks that the last session has seen; None without one.
        note: takes messages for the user.

    Attributes:
        invalid: number of rows that name people who are no members.
        listed: number of tasks in the last reading, without those that the run has completed since;
            None before it.
        done: the rows that need no request, settled before the first one was sent.

    Raises:
        JournalError: the images can't be written, or the live tasks stored.
    """

    def __init__(
        self,
        config: RunConfig,
        files: RunFiles,
        reader: LiveReader,
        writer: Writer,
        ledger: Ledger,
        remaining: Remaining,
        rows: int,
        stop: Stop,
        listed: int | None = None,
        note: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.listed = listed
        self.invalid = 0
        self._note = note
        self._people = People(None)
        self.done = RowSet(rows)
        self._config = config
        self._files = files
        self._reader = reader
        self._writer = writer
        self._ledger = ledger
        self._remaining = remaining
        self._stop = stop
        self._images = ImagesFile(files.images)
        self._live = LiveTasks(files.live)
        self._judge = Judge(self._live, sends_unlisted=config.unlisted == "send")
        self._now = asyncio.get_running_loop().time
        self._read_at = self._read_at_wall = self._took = 0.0
        self._is_reading = False
        self._has_read = asyncio.Event()
        #: Rows with a request in flight → what this run had written to the task before it.
        self._in_flight: dict[int, dict[str, Ours]] = {}
        self._is_idle = asyncio.Event()
        self._has_closed = asyncio.Event()
        #: Tasks that have rows on their way → the number of these rows.
        self._open: Counter[str] = Counter()

    async def begin(self) -> None:
        """Recall what earlier sessions wrote, and read the tasks.

        Raises:
            RunStoppedError: the tasks can't be read whole, or a stop came.
            JournalError: a file of the run can't be read.
        """
        await in_thread(self._stop, self._recall)
        known = await self._reader.known()
        self._people = People(known.members)
        if known.note:
            self._note(known.note)
        await self._read()

    async def settle_at_once(
        self,
        source: Input,
        followed: RowSet | None,
        is_known: Callable[[Row], bool],
    ) -> None:
        """Settle every row that needs no request, and count the tasks that the run changes.

        Args:
            source: the input.
            followed: the rows that have a later row of their task, if these are merged.
            is_known: whether a row is the one that was checked under its number.

        Raises:
            RunStoppedError: more tasks would change than `max_changes` allows.
            InputError: the input can't be read.
            JournalError: the live tasks can't be read.
        """
        for number, row in enumerate(source.rows()):
            if not number % _BATCH:
                await asyncio.sleep(0)
                self._stop.check()
            if row.update is None or not row.is_sent or not self._remaining.includes(row):
                continue
            if not is_known(row):
                raise InputError(f"{source.name}: row {row.number} is not the one that was checked")
            is_followed = followed is not None and row.number in followed
            await self._settle_or_leave_open(row, is_followed=is_followed)
        if source.has_changed():
            raise InputError(f"{source.name} was written to while it was compared")
        if self.invalid and not self._config.skip_invalid:
            rows = count(self.invalid, "invalid row")
            self._stop.set(f"{rows}: nothing was sent in this session", Reason.INVALID_ROWS)
            raise RunStoppedError(rows)
        self._check_changes(self._live.changed)

    async def _settle_or_leave_open(self, row: Row, *, is_followed: bool) -> None:
        """Settle a row that needs no request. A later row of an open task is judged in its turn."""
        try:
            row = self._people.resolved(row, self._live.owner)
        except ValueError as error:
            self.done.add(row.number)
            if not self._was_updated(row):
                self.invalid += 1
                await self._writer.put(row, _invalid(row, error))
            return
        if row.update is None:
            raise AssertionError("a resolved row has an update")
        if (changes := self._live.is_open(row.id)) is True:
            return
        verdict = self._judged(row, row.update)
        if verdict.kind is Kind.SEND or changes is not None or is_followed:
            self._live.leave_open(row.id, changes=verdict.kind is Kind.SEND)
            return
        self.done.add(row.number)
        if result := self._result(row, verdict):
            await self._writer.put(row, result)

    def _check_changes(self, changes: int) -> None:
        limit = self._config.max_changes
        listed = self.listed or 0
        if limit is not None and limit.is_exceeded(changes, listed):
            text = (
                f"{count(changes, 'task')} of {listed:,} would change: {setting('max_changes')} is"
                f" {limit}, and nothing was sent in this session"
            )
            self._stop.set(text, Reason.TOO_MANY_CHANGES)
            raise RunStoppedError(text)

    async def settle_now(self, row: Row) -> bool:
        """Settle a row that is about to be handed out, if it needs no request.

        A row whose task has another row on its way is judged after that one. Where the session
        counts its requests, this waits until the row can be judged.

        Raises:
            RunStoppedError: the tasks had to be read again, and can't be.
        """
        if self._config.first is not None:
            while self._open[row.id]:
                self._has_closed.clear()
                await self._has_closed.wait()
            await self._freshen()
        if self._open[row.id] or self._is_stale:
            self._open[row.id] += 1
            return False
        judged = self._meant_and_judged(row)
        if isinstance(judged, Verdict):
            self._open[row.id] += 1
            return False
        if judged is not None:
            await self._writer.put(row, judged)
        return True

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
        verdict = self._meant_and_judged(row)
        if not isinstance(verdict, Verdict) or verdict.update is None:
            self._close_row(row)
            return verdict if isinstance(verdict, Result) else None
        changes, ours = verdict.update.changes(), self._live.ours(row.id)
        # From here on, no reading begins before the request has its outcome.
        self._in_flight[row.number] = ours
        await self._keep(row, verdict.before, changes, ours)
        self._live.wrote(row.id, verdict.before or {}, changes, is_certain=False)
        return verdict.update

    def _meant_and_judged(self, row: Row) -> Verdict | Result | None:
        """The verdict on a row that is to be sent; else its result, if it has a new one.

        The owner of a task may have left the team, and stays a right one only while it is theirs.
        """
        try:
            row = self._people.resolved(row, self._live.owner)
        except ValueError as error:
            return None if self._was_updated(row) else _invalid(row, error)
        if row.update is None:
            raise AssertionError("only valid rows are handed out")
        verdict = self._judged(row, row.update)
        return verdict if verdict.kind is Kind.SEND else self._result(row, verdict)

    def _judged(self, row: Row, update: TaskUpdate) -> Verdict:
        """Judge a row.

        A row that was updated is sent again only to stand after an earlier row of its task. It
        overwrites no value of another hand.
        """
        verdict = self._judge.judge(row, update)
        if verdict.update is None or not all(map(self._was_updated, (*row.merged, row))):
            return verdict
        ours, before = self._live.ours(row.id), verdict.before or {}
        left = {
            name: value
            for name, value in verdict.update.changes().items()
            if name in ours and (name not in before or before[name] in ours[name].chain[1:])
        }
        return verdict.only(left) if left else Verdict(Kind.ALREADY)

    def _was_updated(self, row: Row) -> bool:
        return self._ledger.outcome(row.number) is Outcome.UPDATED

    async def _keep(
        self,
        row: Row,
        before: dict[str, Any] | None,
        changes: dict[str, Any],
        ours: dict[str, Ours],
    ) -> None:
        """Write what a request overwrites, without the values that this run has left there.

        A value that is not known is taken for one that it has left. A line without any value still
        says what is sent: after a crash, what the task shows then is known to be of this run.
        """
        known = before or {}
        foreign = [
            name
            for name in changes
            if name not in ours or (name in known and known[name] not in ours[name].chain)
        ]
        if foreign or any(not ours[name].ends_with(value) for name, value in changes.items()):
            shown = {name: known[name] for name in foreign if name in known}
            is_unlisted = before is None and bool(foreign)
            await self._images.keep(row.number, row.id, None if is_unlisted else shown, changes)

    def settled(self, row: Row, result: Result) -> Result:
        """Take over what an outcome tells about the task.

        Returns:
            The result as it is to be logged.
        """
        ours = self._in_flight.pop(row.number, {})
        self._close_row(row)
        if not self._in_flight:
            self._is_idle.set()
        try:
            self._take_over(row, result, ours)
        except JournalError as error:
            # The result goes to the log all the same.
            self._stop.set(str(error), Reason.NOT_WRITTEN)
        return replaced(result, compared=True)

    def _take_over(self, row: Row, result: Result, ours: dict[str, Ours]) -> None:
        if result.outcome is Outcome.FAILED:
            # The task is as it was.
            self._live.restore(row.id, ours)
            return
        if (result.sent or {}).get("done") is True and self.listed:
            # The next list is shorter by this task.
            self.listed -= 1
        if result.outcome is Outcome.UPDATED:
            self._live.wrote(row.id, {}, _left(result), time.time())
            self._live.merge(Task(result.task or {"_id": row.id}))

    def _close_row(self, row: Row) -> None:
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
        return replaced(unsent(row, outcome, verdict.error), compared=True)

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
                await self._read()
            finally:
                self._is_reading = False
                self._has_read.set()

    async def _read(self) -> None:
        began, before = self._now(), self.listed
        self._live.clear()
        async for _ in self._reader.tasks(self._live):
            pass
        ended, listed = self._now(), len(self._live)
        is_few = (not listed and before != 0) or 2 * listed < (before or 0)
        if is_few and not self._config.allow_few:
            was = f", and listed {before:,} before" if before else ""
            text = (
                f"the server lists {count(listed, 'task')}{was}: if this is right,"
                f" {setting('allow_few')} accepts it"
            )
            self._stop.set(text, Reason.SERVER_DOWN)
            raise RunStoppedError(text)
        self._people.add_owners(self._live.owners)
        self.listed, self._took = listed, ended - began
        # Only now rows may be judged by it.
        self._read_at, self._read_at_wall = ended, time.time()

    def _recall(self) -> None:
        """Recall what earlier sessions of this run have written, in the order of time."""
        for one in _in_order(read_images(self._files.images), _sent(self._files)):
            self._stop.check()
            if isinstance(one, Image):
                self._live.wrote(one.id, one.values, one.sent)
            elif one.outcome is Outcome.UPDATED:
                self._live.wrote(one.id, {}, _left(one), datetime.fromisoformat(one.at).timestamp())
            elif one.outcome is Outcome.UNCONFIRMED:
                self._live.wrote(one.id, {}, one.sent or {})
            elif one.outcome is Outcome.FAILED:
                self._live.took_back(one.id, one.sent or {})

    def name_of(self, user_id: str) -> str:
        """A user for people, as far as the team could be read."""
        return self._people.shown(user_id)

    async def close(self) -> None:
        """Write the rest of the images, and close all files."""
        try:
            await self._images.close()
        finally:
            self._live.close()


def _sent(files: RunFiles) -> Iterator[Result]:
    """The results of all requests of a run, with those of rows that the input no longer has.

    A log that was renumbered begins with lines of the one before it.
    """
    last = newest = ""
    for path in (*files.earlier_results(), files.results):
        for _, result in read_journal(path) if path.exists() else ():
            newest = max(newest, result.at)
            if result.sent and result.at > last:
                yield result
        last = newest


def _in_order(images: Iterator[Image], results: Iterator[Result]) -> Iterator[Image | Result]:
    """Images and results in the order of time. An image comes before the result of its row.

    In one millisecond, an earlier row of a task may be settled and the next one begin.
    """
    return heapq.merge(images, results, key=lambda one: (one.at, one.row, isinstance(one, Result)))


def _invalid(row: Row, error: ValueError) -> Result:
    return unsent(row, Outcome.INVALID, ErrorInfo("invalid_row", str(error)))


def _left(result: Result) -> dict[str, Any]:
    """The values that an update has left."""
    return left_values(result.sent or {}, result.task or {})
