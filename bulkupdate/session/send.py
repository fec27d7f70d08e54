"""Sending: rows to the lanes and results to the writer, until all is done or the run stops."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Self

from bulkupdate.engine.backlog import Backlog
from bulkupdate.engine.permits import delay_of
from bulkupdate.errors import InputError, JournalError, RunStoppedError, count, setting
from bulkupdate.journal import (
    CheckedRows,
    ImagesFile,
    Recorder,
    Summary,
    TrafficLog,
    sample_length,
)
from bulkupdate.lemlist.pool import ConnectionPool, connections
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import Reason, Row, State
from bulkupdate.session.ending import summary_of
from bulkupdate.session.failures import Failures
from bulkupdate.session.feeder import Feeder
from bulkupdate.session.part import Part, Shared
from bulkupdate.session.parts import (
    bind_accounts,
    find_keys,
    stop_for_used_keys,
    stop_late_twin,
    why_stopped,
    with_bindings,
)
from bulkupdate.session.prepare import Prepared, Session
from bulkupdate.session.progress import Progress
from bulkupdate.session.recall import recall
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.spooled import SpooledRows, fill
from bulkupdate.session.threads import in_thread
from bulkupdate.session.writer import Writer

#: Most open files of a part that compares or merges, beside its connections.
_FILES = 3

#: Reasons for which a run with one key is refused, and nothing is sent.
_REFUSALS = {Reason.TOO_MANY_CHANGES, Reason.INVALID_ROWS}

#: Seconds between two writes of what parts are bound to.
_SAVE_INTERVAL = 1.0

#: Rows that are looked at before other tasks may run.
_BATCH = 256


class Sending:
    """The part of a session that sends requests: `async with Sending(…) as sending`.

    Args:
        session: the session.
        prepared: the facts about its input.
        recorder: holds the outcomes so far.
        writer: receives the results.
        remaining: makes what decides which rows have to be settled, for one pass.
        parts: the parts of the run by account.

    Attributes:
        is_complete: whether nothing is left to do.
        progress: the progress of the session.
    """

    progress: Progress

    def __init__(
        self,
        session: Session,
        prepared: Prepared,
        recorder: Recorder,
        writer: Writer,
        remaining: Callable[[], Remaining],
        parts: Mapping[str, Part],
    ) -> None:
        self.is_complete = False
        self._session = session
        self._prepared = prepared
        self._recorder = recorder
        self._writer = writer
        self._new_remaining = remaining
        self._is_refused = bool(prepared.preview.invalid) and not session.config.skip_invalid
        #: The parts that have rows, and those of them that have rows left.
        self._parts = {name: part for name, part in parts.items() if part.takes_part or not name}
        self._left: list[Part] = []
        self._images: ImagesFile | None = None
        self._is_bound = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        """Find what is left to send, and open a lane for each part that has some."""
        config, directory, source, stop, *_, spool = self._session
        checked = self._stack.enter_context(CheckedRows(directory.files.digests))
        if spool is not None:
            if self._prepared.is_known:
                settled = self._new_remaining().settled_prefix
                try:
                    await fill(spool, source, settled, checked.holds, stop)
                except InputError:
                    # The next session checks the input anew.
                    directory.forget_check()
                    raise
            await asyncio.to_thread(spool.flush)
        self._left = [part for part in self._parts.values() if await self._is_left(part)]
        if config.accounts is not None and self._session.earlier is not None:
            find_keys(config, self._left, is_new=False)
            stop_for_used_keys(self._left, self._parts.values())
        lanes = [part for part in self._left if not part.stop.is_set]
        if self._is_refused and spool is not None:
            lanes = []  # Nothing is sent, so that nothing needs a key.
        if config.compare:
            self._images = ImagesFile(directory.files.images)
        # The live tasks, and rows that wait for an earlier row of their task.
        files = _FILES if config.compare or self._prepared.followed is not None else 1
        most = connections(config.workers, len(lanes), files=files)
        shared = Shared(
            self._session,
            self._prepared,
            self._writer,
            self._recorder.ledger,
            self._images,
            self._new_remaining,
            checked.holds if spool is None else _is_in_spool,
            Failures(config.max_failures_total, stop, "max_failures_total"),
            max(1, len(lanes)),
            # Where there are fewer connections, no lane may take those of others.
            min(config.workers, max(1, most // max(1, len(lanes)) - 1)),
            self._keep,
        )
        self._pool = await self._stack.enter_async_context(ConnectionPool(connections=most))
        for part in lanes:
            client = TaskClient(part.endpoint, pool=self._pool)
            await self._stack.enter_async_context(client)
            part.open(shared, client, source if spool is None else self._rows(part.name))
        self.progress = Progress(
            self._prepared.preview,
            self._recorder.ledger,
            [part.lane for part in lanes if part.lane is not None],
            parts=[part for part in self._parts.values() if part.name],
            target=config.base_url or "several servers",
            recent=self._recorder.recent,
            first=config.first,
            retry_failed=config.retry_failed,
        )

    async def _is_left(self, part: Part) -> bool:
        """Whether a part has rows left. A part that has none needs no key."""
        if self._session.spool is None or self._session.earlier is None:
            return True
        remaining = self._new_remaining()
        for number, row in enumerate(self._rows(part.name).rows()):
            if not number % _BATCH:
                await asyncio.sleep(0)
            if remaining.includes(row):
                return True
        part.is_complete = True
        return False

    def _rows(self, account: str) -> SpooledRows:
        if self._session.spool is None:
            raise AssertionError("only a run with accounts has a spool")
        return SpooledRows(self._session.spool, account, self._session.source)

    @property
    def first(self) -> Summary:
        """The summary of the run before its first row, with what its parts are bound to."""
        return with_bindings(self._prepared.first, self._parts)

    def summary(self) -> Summary:
        """The summary of the run while it is under way."""
        return summary_of(self.first, self.progress, self._session.stop, has_ended=False)

    def name_of(self, user_id: str) -> str:
        """A user for people, as far as a team could be read; else the id."""
        names = (part.name_of(user_id) for part in self._left)
        return next((name for name in names if name != user_id), user_id)

    def _keep(self, part: Part) -> None:
        """Write down what a part is bound to: with one key at once, else within a second."""
        if not self._session.config.same_team:
            stop_late_twin(part, self._parts.values())
        if part.name:
            self._is_bound.set()
        else:
            self._save()

    def _save(self) -> None:
        # `close` writes it again, and stops the run if it can't.
        with contextlib.suppress(JournalError):
            self._session.directory.write_summary(self.summary())

    async def _save_regularly(self) -> None:
        """Write down what parts are bound to, at most once a second: there may be hundreds."""
        while True:
            await self._is_bound.wait()
            self._is_bound.clear()
            self._save()
            await asyncio.sleep(_SAVE_INTERVAL)

    async def close(self) -> None:
        """Write the rest of the images, and close what comparing has open."""
        try:
            if self._images is not None:
                await self._images.close()
        finally:
            for part in self._left:
                part.close()

    async def run(self) -> None:
        """Send the remaining rows."""
        session, preview = self._session, self._prepared.preview
        if session.config.accounts is not None and not self._is_refused:
            lanes = [part for part in self._left if part.lane is not None]
            everyone = self._parts.values()
            await bind_accounts(session.config, lanes, self._pool, session.stop, everyone)
            session.directory.write_summary(self.summary())
        if await self._recall():
            await self._work_off(send=not self._is_refused)
        if any(part.is_otherwise for part in self._left):
            session.directory.forget_check()
        is_each_complete = all(part.is_complete for part in self._parts.values())
        self.is_complete = is_each_complete and not self._recorder.ledger.unsettled
        if self._is_refused and session.config.accounts is not None:
            self._refuse(preview.invalid)
        self._stop_as_parts_did()
        if self._is_refused:
            self._refuse(preview.invalid)

    def _refuse(self, invalid: int) -> None:
        when = " in this session" if self._session.earlier is not None else ""
        text = f"{count(invalid, 'invalid row')}: nothing was sent{when}"
        self._session.stop.set(text, Reason.INVALID_ROWS)

    async def _recall(self) -> bool:
        """Note what earlier sessions wrote. Return whether that was possible."""
        lives = {part.name: part.live for part in self._left if part.live is not None}
        stop = self._session.stop
        if not lives or self._session.earlier is None:
            return True
        try:
            await in_thread(stop, recall, self._session.directory.files, lives, stop)
        except JournalError as error:
            stop.set(str(error), Reason.NOT_WRITTEN)
        except RunStoppedError:
            pass  # The stop has its reason.
        return not stop.is_set

    async def _work_off(self, *, send: bool) -> None:
        writer, observer = self._writer, self._session.observer
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(writer.sync_regularly()),
                group.create_task(observer.watch(self.progress)),
                group.create_task(self._sample_regularly()),
                group.create_task(self._save_regularly()),
            ]
            writing = group.create_task(writer.run())
            async with asyncio.TaskGroup() as parts:
                lanes = [part for part in self._left if part.lane is not None]
                for number, part in enumerate(lanes):
                    delay = delay_of(number, len(lanes))
                    parts.create_task(part.run(send=send, delay=delay))
                if self._session.spool is not None:
                    parts.create_task(self._settle_invalid(send=send))
            writer.end()
            await writing
            for task in background:
                task.cancel()

    async def _settle_invalid(self, *, send: bool) -> None:
        """Write the results of invalid rows that no part settles.

        Those are the rows that name no account; and if nothing is sent, all of them.
        """
        session = self._session
        for account in ["", *([] if send else self._parts)]:
            feeder = Feeder(
                self._rows(account),
                self._new_remaining(),
                self._writer,
                session.stop,
                may_be_invalid=session.config.skip_invalid,
            )
            await feeder.feed(Backlog(1), send=send)

    def _stop_as_parts_did(self) -> None:
        """Give the run the reason for which parts of it ended early."""
        stop, config = self._session.stop, self._session.config
        if stop.state is State.INTERRUPTED:
            return
        if config.accounts is not None and (text := why_stopped(self._parts.values())):
            stop.set(text, self._reason_of_all() or Reason.ACCOUNTS_STOPPED)
        if (cut := [part for part in self._left if part.is_cut]) and config.first is not None:
            noun = "request" if self._prepared.followed else "row"
            sent = f"{count(config.first, noun)} were" if config.first > 1 else f"{noun} was"
            if config.accounts is not None:
                sent = f"{count(config.first, noun)} of {count(len(cut), 'account')} were"
            stop.set(f"the first {sent} sent ({setting('first')})", Reason.FIRST_ROWS)

    def _reason_of_all(self) -> Reason | None:
        """The reason for which every part was refused before its first update; else None."""
        reasons = {why[1] if (why := part.why_stopped) else None for part in self._parts.values()}
        return reasons.pop() if len(reasons) == 1 and reasons <= _REFUSALS else None

    async def _sample_regularly(self) -> None:
        """Append a sample to the traffic log every few seconds, and a last one when cancelled."""
        progress = self.progress
        with TrafficLog(self._session.directory.files.traffic) as traffic:
            while True:
                try:
                    await asyncio.sleep(sample_length(progress.elapsed))
                finally:
                    traffic.append(progress.sample())


def _is_in_spool(_: Row) -> bool:
    """Whether a row is the one that was checked: the spool holds no other."""
    return True
