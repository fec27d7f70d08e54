"""`fleet collect`: the results of a run in the database become a run directory."""

import asyncio
import itertools
import logging
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bulkupdate.codec import parse_json, parse_record, to_json
from bulkupdate.fleet.database import Absence, Database, DatabaseError
from bulkupdate.fleet.records import FleetSettings
from bulkupdate.fleet.runs import PartStatus, RunStatus, forget, runs_of
from bulkupdate.fleet.submission import INPUT, VALUE_MAP
from bulkupdate.fleet.teams import NO_KEY, is_of_key
from bulkupdate.journal import RunDirectory, RunFiles, Summary
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.endpoint import DEFAULT_BASE_URL, Endpoint
from bulkupdate.models import Reason, Result, State, Traffic
from bulkupdate.reader import Format, Input, ReadOptions
from bulkupdate.session.gather import gather
from bulkupdate.session.observer import Observer
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

#: Results of a part that are read at once, and the number of parts.
_BATCH = 1_000
_PARTS = 4

#: Seconds between two looks at a run that goes on, at first and at most.
_FIRST_LOOK = 0.05
_LONGEST_LOOK = 1.0

#: Seconds for which a database that is away is waited for.
_PATIENCE = 600.0

#: Results of transactions that are not over can't be passed by: they may appear before others.
_RESULTS = """
SELECT c.part, r.transaction::text, r.row, r.result, r.again
FROM unnest(%(parts)s::bigint[], %(transactions)s::text[], %(rows)s::int[])
    AS c (part, transaction, row)
CROSS JOIN LATERAL (
    SELECT transaction, row, result, again FROM bulkupdate_results
    WHERE part = c.part AND (transaction, row) > (c.transaction::xid8, c.row)
      AND (%(ended)s OR transaction < pg_snapshot_xmin(pg_current_snapshot()))
    ORDER BY transaction, row LIMIT %(most)s
) AS r
"""

#: The parts that have such results.
_NEWS = """
SELECT c.part
FROM unnest(%(parts)s::bigint[], %(transactions)s::text[], %(rows)s::int[])
    AS c (part, transaction, row)
WHERE EXISTS (
    SELECT FROM bulkupdate_results
    WHERE part = c.part AND (transaction, row) > (c.transaction::xid8, c.row)
      AND (%(ended)s OR transaction < pg_snapshot_xmin(pg_current_snapshot()))
)
"""


#: Ends after which not all of a run is on disk.
_LEFT = (Reason.UNDER_WAY, Reason.NOT_WRITTEN, Reason.INTERNAL_ERROR)

log = logging.getLogger(__name__)


class _Pace:
    """The limiter of a part, as far as the database tells."""

    def __init__(self) -> None:
        self.allowed: float | None = None
        self.paused = 0.0


class _Lane:
    """What sends the rows of a part, as far as the database tells."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.limiter = _Pace()
        self.has_ended = False
        self.waiting_for: str | None = None

    def update(self, status: PartStatus) -> None:
        """Take over what the database tells now."""
        traffic, limiter = self.traffic, self.limiter
        traffic.requests, traffic.retries = status.requests, status.retries
        traffic.rate_limited = status.rate_limited
        limiter.allowed, limiter.paused = status.allowed_rate, status.paused
        self.has_ended = status.has_ended
        # Of the server, as in a local run.
        self.waiting_for = status.why_held


class _Part:
    """The part of a run that is of one account; see `bulkupdate.session.gather.RemotePart`."""

    def __init__(self, status: PartStatus) -> None:
        self.id = status.id
        self.name = status.account
        self.base_url = status.base_url
        # What stands for a team that can't be told is no id.
        self.team = status.team if status.team and not is_of_key(status.team) else None
        self.key_hash = status.key_hash
        self.rows = 0
        self.seconds: float | None = None
        self.lane = _Lane()
        self.why_stopped: tuple[str, Reason] | None = None

    def update(self, status: PartStatus) -> None:
        """Take over what the database tells now."""
        self.lane.update(status)
        if status.stopped_by is not None:
            self.why_stopped = status.reason or "", status.stopped_by
        if status.has_ended:
            self.seconds = status.seconds


class FleetRun:
    """A run of a fleet, for `bulkupdate.session.gather`.

    Args:
        database: the database.
        status: the run.
        directory: a directory for the copy of its input.
        follow: whether results are waited for until the run has ended.
    """

    def __init__(
        self, database: Database, status: RunStatus, directory: Path, *, follow: bool
    ) -> None:
        self._database = database
        self._status = status
        self._directory = directory
        self._follow = follow
        #: Why nobody works on the run, without numbers; "" if somebody does.
        self._why_idle = ""
        self._all = [_Part(part) for part in status.parts]
        self.parts: Sequence[_Part] = [
            part for part, one in zip(self._all, status.parts, strict=True) if one.team is not None
        ]
        self._update(status)

    def _update(self, status: RunStatus) -> None:
        self._status = status
        why = status.why_idle
        # The seconds for which a worker is silent are no other reason.
        reason = re.sub(r"\d+", "", why or "")
        if self._follow and reason and reason != self._why_idle:
            log.warning("run %d waits: %s", status.id, why)
        self._why_idle = reason
        for part, one in zip(self._all, status.parts, strict=True):
            part.update(one)

    @property
    def run(self) -> str:
        """What tells the run from all others."""
        return f"{self._status.id} {self._status.key}"

    @property
    def created(self) -> datetime:
        """When it was submitted."""
        return self._status.created

    @property
    def people(self) -> Mapping[str, str]:
        """Users by id, for people, as far as the submitter has known them."""
        return self._settings.people

    @property
    def why_ended(self) -> tuple[str, Reason] | None:
        """Why rows are left; None if none are."""
        return self._status.why_left

    @property
    def seconds(self) -> float:
        """Seconds since the first of its updates was taken, until its end if it has ended."""
        return max((part.seconds or 0.0 for part in self._status.parts), default=0.0)

    @property
    def _settings(self) -> FleetSettings:
        return self._status.settings

    async def fetch(self) -> None:
        """Copy the input from the database.

        Raises:
            DatabaseError: the database can't be reached.
        """
        await self._fetch(INPUT, self._path)
        if self._settings.value_map:
            await self._fetch(VALUE_MAP, self._directory / VALUE_MAP)

    @property
    def _path(self) -> Path:
        return self._directory / self._settings.name

    async def _fetch(self, name: str, path: Path) -> None:
        with path.open("wb") as file:
            for number in itertools.count():
                piece = await self._database.row(
                    "SELECT data FROM bulkupdate_files WHERE run = %s AND name = %s"
                    " AND number = %s",
                    [self._status.id, name, number],
                )
                if piece is None:
                    return
                await asyncio.to_thread(file.write, piece[0])

    def config(self, out: Path) -> RunConfig:
        """The settings of a run that gathers the results.

        Args:
            out: the run directory.
        """
        settings, endpoint, accounts = self._settings, None, None
        urls = {part.name: part.base_url for part in self.parts}
        if settings.accounts is None:
            endpoint = _endpoint(settings.base_url)
        else:
            accounts = Accounts.of(
                {name: _endpoint(urls.get(name, settings.base_url)) for name in settings.accounts}
            )
        return RunConfig(
            input=str(RunFiles(out).edits) if settings.compared else settings.path,
            endpoint=endpoint,
            accounts=accounts,
            account=settings.account,
            read=self._options(),
            out=out,
            skip_invalid=settings.skip_invalid,
            merge_duplicates=settings.merge_duplicates,
            allow_empty=settings.allow_empty,
            compare=settings.compared,
            strict=settings.strict,
        )

    def _options(self) -> ReadOptions:
        values: dict[str, Any] = dict(self._settings.read)
        if values["format"] is not None:
            values["format"] = Format(values["format"])
        values["now"] = datetime.fromisoformat(values["now"])
        for name in ("only", "date_formats"):
            values[name] = tuple(values[name])
        if self._settings.value_map:
            values["value_map"] = self._directory / VALUE_MAP
        if self._settings.accounts is not None:
            values["accounts"] = self._settings.accounts
            values["account"] = self._settings.account
        return ReadOptions(**values)

    def open_input(self, directory: RunDirectory, stop: Stop) -> Input:
        """Open the copy of the input. It may block.

        Raises:
            InputError: it can't be read.
            JournalError: it can't be copied to the run directory.
        """
        name, path, options = self._settings.path, self._path, self._options()
        if self._settings.compared:
            part = directory.new_edits()
            shutil.copyfile(path, part)
            return Input.open(part, str(directory.files.edits), options, stop)
        if name == "-":
            return Input.open(directory.keep_stdin(_chunks(path)), "stdin", options, stop)
        return Input.open(path, name, options, stop)

    async def results(self, place: str) -> AsyncIterator[tuple[list[Result], str]]:
        """The results after a place, and the place after them.

        Raises:
            DatabaseError: the database was away for too long.
        """
        places = _Places(place, [part.id for part in self._all])
        pause, absence = _FIRST_LOOK, Absence()
        while True:
            try:
                (status,) = await runs_of(self._database, self._status.id, counted=False)
                self._update(status)
                async for found in self._news(places, status):
                    results = [
                        parse_record(bytes(data), Result)
                        for *_, data, again in found
                        if data is not None and not again
                    ]
                    yield results, str(places)
                if status.has_ended or not self._follow:
                    absence.end()
                    # Only now it matters which rows were set aside.
                    self._update((await runs_of(self._database, self._status.id))[0])
                    return
                absence.end()
            except DatabaseError as error:
                if not (error.is_away and self._follow) or absence.note(error) > _PATIENCE:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)

    async def _news(
        self, places: "_Places", status: RunStatus
    ) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """The records of new results, some at a time."""
        news = await self._database.rows(_NEWS, places.values(status.has_ended))
        parts = [row[0] for row in news]
        for first in range(0, len(parts), _PARTS):
            some = parts[first : first + _PARTS]
            while found := await self._database.rows(
                _RESULTS, places.values(status.has_ended, some)
            ):
                places.go_on(found)
                yield found


class _Places:
    """Up to where the results of each part were read.

    Args:
        text: the places, as text; "" for the beginning.
        parts: the ids of the parts.
    """

    def __init__(self, text: str, parts: Sequence[int]) -> None:
        found = parse_json(text) if text else {}
        self._places: dict[int, tuple[str, int]] = {
            part: tuple(found.get(str(part), ("0", 0))) for part in parts
        }

    def values(self, has_ended: bool, parts: Iterable[int] | None = None) -> dict[str, Any]:
        """The values for a statement that reads on: of some parts, or of all."""
        chosen = [*self._places] if parts is None else [*parts]
        places = [self._places[part] for part in chosen]
        return {
            "parts": chosen,
            "transactions": [transaction for transaction, _ in places],
            "rows": [row for _, row in places],
            "ended": has_ended,
            "most": _BATCH,
        }

    def go_on(self, found: Iterable[Sequence[Any]]) -> None:
        """Note what was read."""
        for part, transaction, row, *_ in found:
            self._places[part] = transaction, row

    def __str__(self) -> str:
        return to_json(self._places).decode()


async def collect(
    database: Database,
    run: int,
    out: str | Path,
    *,
    follow: bool = False,
    forget_it: bool = False,
    stop: Stop | None = None,
    observer: Observer | None = None,
    is_shown: bool = False,
) -> Summary:
    """Write what became of a run to a run directory, as `run` does.

    Args:
        database: the database.
        run: the id of the run.
        out: the run directory. One of an earlier call for the same run is brought up to date.
        follow: whether to wait until the run has ended, and show its progress.
        forget_it: whether to remove the run from the database, if it has ended and is on disk.
        stop: ends it early. The run goes on.
        observer: is called meanwhile.
        is_shown: whether the observer has been told of the check of the input already.

    Returns:
        The summary, which is also in the run directory.

    Raises:
        ConfigError: there is no run with this id.
        DatabaseError: the database can't be reached.
        RunDirectoryError: the directory holds another run, or can't be used.
        JournalError: the run directory can't be written.
        RunStoppedError: `stop` was set before anything was written.
    """
    (status,) = await runs_of(database, run)
    with tempfile.TemporaryDirectory(prefix="bulkupdate-") as directory:
        remote = FleetRun(database, status, Path(directory), follow=follow)
        await remote.fetch()
        config = remote.config(Path(out))
        summary = await gather(config, remote, stop=stop, observer=observer, is_shown=is_shown)
    if forget_it and is_whole(summary):
        await forget(database, run)
    return summary


def is_whole(summary: Summary) -> bool:
    """Whether a run that was collected has ended, and all of it is on disk."""
    return summary.state is not State.INTERRUPTED and summary.stopped_by not in _LEFT


def _endpoint(base_url: str) -> Endpoint:
    return Endpoint(api_key=NO_KEY, base_url=base_url or DEFAULT_BASE_URL)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk
