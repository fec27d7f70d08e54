"""Gathering: the results of a run that others have sent become a run directory like any other.

::

    copy of the input ──▶ check ──┐
    results of others ──▶ Recorder ──▶ log, failed file, summary

It is a session of a run that sends nothing itself.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from bulkupdate.codec import parse_record, replaced, to_json
from bulkupdate.errors import RunDirectoryError
from bulkupdate.journal import (
    AccountSummary,
    ImagesFile,
    Mode,
    Recorder,
    RunDirectory,
    RunFiles,
    Summary,
    TrafficLog,
    read_images,
    read_lines,
    read_summary,
    sample_length,
)
from bulkupdate.models import Mark, Reason, Result, now, utc_text
from bulkupdate.plan import Checking, RowSet
from bulkupdate.reader import Input
from bulkupdate.session.close import close
from bulkupdate.session.ending import summary_of, why_ended
from bulkupdate.session.observer import Observer, watched
from bulkupdate.session.prepare import Session, begin, check
from bulkupdate.session.progress import AccountPart, Progress
from bulkupdate.session.settings import RunConfig
from bulkupdate.session.threads import in_thread
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop, cancel_all

#: Seconds between two notes of up to where results were gathered.
_SAVE_INTERVAL = 5.0

#: Rows of which the images are written together.
_BATCH = 256


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What is written to `fleet.json`.

    Attributes:
        run: what tells the run from all others.
        place: up to where its results were gathered.
    """

    run: str
    place: str = ""


class RemotePart(AccountPart, Protocol):
    """The part of a remote run that is of one account."""

    @property
    def base_url(self) -> str:
        """The URL that its edits are sent to."""

    @property
    def team(self) -> str | None:
        """The id of its team; None if it is not known."""

    @property
    def key_hash(self) -> str | None:
        """A salted hash of its key; None if it is not known."""


class Remote(Protocol):
    """A run that others send."""

    @property
    def run(self) -> str:
        """What tells the run from all others."""

    @property
    def parts(self) -> Sequence[RemotePart]:
        """The part of each account that has rows."""

    @property
    def seconds(self) -> float:
        """Seconds since its first request, until its end if it has ended."""

    @property
    def created(self) -> datetime:
        """When it was handed over. With `compare`, its tasks were read before; UTC."""

    @property
    def people(self) -> Mapping[str, str]:
        """The e-mail address or name of users by id, as far as they are known."""

    @property
    def why_ended(self) -> tuple[str, Reason] | None:
        """Why rows are left: in words, and as one of the known reasons; None if none are."""

    def open_input(self, directory: RunDirectory, stop: Stop) -> Input:
        """Open the copy of the input. It may block."""

    def results(self, place: str) -> AsyncIterator[tuple[list[Result], str]]:
        """The results after a place, and the place after them, until the run has ended."""


async def gather(
    config: RunConfig,
    remote: Remote,
    *,
    stop: Stop | None = None,
    observer: Observer | None = None,
    is_shown: bool = False,
) -> Summary:
    """Write the results of a run that others send to a run directory.

    Args:
        config: the settings of the run. Its mode and its keys are not used.
        remote: the run.
        stop: ends it early. The run goes on, and can be gathered again.
        observer: is called meanwhile.
        is_shown: whether the observer has been told of the check of the input already.

    Returns:
        The summary, which is also in the run directory.

    Raises:
        InputError: the copy of the input can't be read.
        RunDirectoryError: the directory holds another run, or can't be used.
        JournalError: the run directory can't be written to or read.
        RunStoppedError: `stop` was set before anything was written.
    """
    observer, stop = observer or Observer(), stop or Stop()
    with RunDirectory.open(config.directory, Mode.RESUME) as directory:
        gathered = _gathered(directory, remote)
        earlier = read_summary(directory.path) if directory.mode is Mode.RESUME else None
        checking = Checking(str(config.input))
        with contextlib.ExitStack() as stack:
            opening = asyncio.to_thread(remote.open_input, directory, stop)
            source = stack.enter_context(await opening)
            checking.opened(source)
            session = Session(config, directory, source, stop, observer, earlier, now())
            async with watched(observer.watch_check(checking)):
                found = await check(session, checking)
                prepared = await begin(session, found, is_shown=False)
            _save(directory, gathered)
            recorder = await in_thread(stop, Recorder.open, directory, source, stop)
            writer = Writer(recorder, stop)
            parts = remote.parts
            for part in parts:
                part.rows = prepared.preview.accounts.get(part.name, 0)
            lanes = [one.lane for one in parts if one.lane is not None]
            progress = Progress(
                prepared.preview,
                recorder.ledger,
                lanes,
                parts=parts if config.accounts is not None else (),
                target=config.base_url or "several servers",
                recent=recorder.recent,
                seconds=lambda: remote.seconds,
            )
            first = _with_teams(prepared.first, parts, has_accounts=config.accounts is not None)
            prepared = prepared._replace(first=first)
            directory.write_summary(summary_of(first, progress, stop, has_ended=False))
            if not is_shown:
                observer.input_checked(source, prepared.preview)
            try:
                gathered = await _take_all(session, recorder, remote, progress, gathered)
                if config.compare:
                    await in_thread(stop, recorder.sync)
                    await _keep_images(directory, source, prepared.preview.rows, remote, stop)
                if (why := remote.why_ended) is not None and not stop.is_set:
                    stop.set(*why)
            except BaseException as error:
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                stop.set(*why_ended(error))
                raise error from None
            finally:
                summary = await close(
                    session,
                    prepared,
                    progress,
                    recorder,
                    writer,
                    is_complete=not stop.is_set,
                    name_of=lambda user: remote.people.get(user, user),
                )
            _save(directory, gathered)
    return summary


def _gathered(directory: RunDirectory, remote: Remote) -> Gathered:
    """What was gathered before.

    Raises:
        RunDirectoryError: the directory holds another run.
    """
    try:
        found = parse_record(directory.files.fleet.read_bytes(), Gathered)
    except FileNotFoundError:
        if directory.mode is Mode.RESUME:
            raise RunDirectoryError(
                f"{directory.path} holds a run that was not made by a fleet: choose another"
                " directory"
            ) from None
        return Gathered(run=remote.run)
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{directory.files.fleet} can't be read: {error}") from None
    if directory.mode is not Mode.RESUME:
        return Gathered(run=remote.run)
    if found.run != remote.run:
        raise RunDirectoryError(
            f"{directory.path} holds another run of a fleet ({found.run}): choose another directory"
        )
    return found


def _with_teams(first: Summary, parts: Sequence[RemotePart], *, has_accounts: bool) -> Summary:
    if not has_accounts:
        team, key_hash = (parts[0].team, parts[0].key_hash) if parts else (None, None)
        return replaced(first, team=team, key_hash=key_hash)
    accounts = {
        part.name: AccountSummary(
            base_url=part.base_url,
            rows=part.rows,
            counts={},
            team=part.team,
            key_hash=part.key_hash,
        )
        for part in parts
    }
    return replaced(first, accounts=accounts)


async def _take_all(
    session: Session,
    recorder: Recorder,
    remote: Remote,
    progress: Progress,
    gathered: Gathered,
) -> Gathered:
    """Write the results as they come. Return what was gathered."""
    place = gathered

    async def take() -> None:
        nonlocal place
        saved = time.monotonic()
        async for results, after in remote.results(gathered.place):
            await in_thread(session.stop, recorder.take, results)
            place = replaced(place, place=after)
            if time.monotonic() - saved > _SAVE_INTERVAL:
                await in_thread(session.stop, recorder.sync)
                _save(session.directory, place)
                saved = time.monotonic()

    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(session.observer.watch(progress)),
            group.create_task(_sample(session, progress)),
        ]
        taking = group.create_task(take())
        stopping = group.create_task(session.stop.wait())
        await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await cancel_all([taking, stopping, *background])
    return place


def _save(directory: RunDirectory, gathered: Gathered) -> None:
    directory.write_fleet(to_json(gathered, indent=2) + b"\n")


async def _sample(session: Session, progress: Progress) -> None:
    """Append a sample to the traffic log every few seconds."""
    with TrafficLog(session.directory.files.traffic) as traffic:
        while True:
            try:
                await asyncio.sleep(sample_length(progress.elapsed))
            finally:
                traffic.append(progress.sample())


class _Logged(Mark, frozen=True, kw_only=True):
    """The part of a line of the log that tells when a row was sent."""

    at: str
    sent: dict[str, Any] | None = None


def _sent_rows(files: RunFiles, rows: int, created: str) -> tuple[RowSet, str]:
    """The rows of a run that were sent, and a moment before their requests.

    Args:
        files: the files of the run.
        rows: number of rows in the input.
        created: when the run was handed over, by the clock of the database.

    Raises:
        JournalError: the log can't be read.
    """
    sent, first = RowSet(rows), created
    for log in files.logs():
        for lines in read_lines(log, _Logged):
            for line in lines:
                if line.sent is not None:
                    sent.add(line.row)
                    first = min(first, line.at)
    return sent, first


async def _keep_images(
    directory: RunDirectory, source: Input, rows: int, remote: Remote, stop: Stop
) -> None:
    """Write down what the run has overwritten: what its rows expected of their tasks.

    That was there when the run was handed over, and not when its results were gathered: an undo of
    several runs takes their writes back in the order of time.

    Raises:
        InputError: the input can't be read.
        JournalError: it can't be written, or the log can't be read.
    """
    created = utc_text(int(remote.created.timestamp() * 1000))
    sent, at = await in_thread(stop, _sent_rows, directory.files, rows, created)
    earlier = await asyncio.to_thread(list, read_images(directory.files.images))
    kept = {image.row for image in earlier}
    images = ImagesFile(directory.files.images)
    writing: list[asyncio.Task[None]] = []
    try:
        for row in source.rows():
            if not row.number % _BATCH:
                await asyncio.sleep(0)
                stop.check()
                if writing:
                    await asyncio.gather(*writing)
                    writing.clear()
            if row.number in sent and row.number not in kept and row.update is not None:
                fields = row.update.changes()
                expected = row.expect or {}
                before = {name: value for name, value in expected.items() if name in fields}
                writing.append(asyncio.create_task(images.keep(row, before, fields, at)))
        if writing:
            await asyncio.gather(*writing)
    finally:
        await images.close()
