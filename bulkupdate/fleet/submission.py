"""`fleet submit`: a file of edits in, edits in the database out.

The whole input is checked as `run` does it. Then its edits are written to the database in pieces,
and at the end one statement makes them count. Until then, nobody works on them. What a submitter
leaves that was killed in between is removed by the next one.
"""

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, LiteralString, NamedTuple

import msgspec
import psycopg

from bulkupdate._version import __version__
from bulkupdate.codec import parse_record, replaced, to_json
from bulkupdate.errors import ConfigError, InputError, RunStoppedError, count, setting
from bulkupdate.fleet.database import Database
from bulkupdate.fleet.limiter import SharedLimits
from bulkupdate.fleet.queue import FORMAT, Queue, queue_of
from bulkupdate.fleet.records import FleetSettings, edit_of
from bulkupdate.fleet.teams import TeamRow, teams_of
from bulkupdate.models import ErrorInfo, Outcome, Row, unsent
from bulkupdate.plan import Inspection, Preview, inspect
from bulkupdate.plan.rules import Evaluation
from bulkupdate.reader import Edit, Format, Input, ReadOptions, is_rules
from bulkupdate.session.merger import Merger
from bulkupdate.session.night import load_rules, selected_lines
from bulkupdate.session.observer import Observer
from bulkupdate.session.plan import plan_edits
from bulkupdate.session.planfile import write_plan
from bulkupdate.session.planrecord import Plan
from bulkupdate.session.question import Confirm, ask
from bulkupdate.session.settings import RunConfig
from bulkupdate.session.source import copy_stdin
from bulkupdate.stop import Stop

#: Rows that are read before other tasks may run; and rows of a transaction. One that lasts for
#: minutes would keep the database from cleaning up.
_READ = 128
_COPIED = 8_192

#: Bytes of one piece of a file.
_PIECE = 1 << 20

#: The names of the files that are kept with a run.
INPUT, VALUE_MAP = "input", "value-map"

#: Runs whose submitter is gone: it holds a lock for as long as it writes.
_ABANDONED = """
DELETE FROM bulkupdate_runs WHERE id IN (
    SELECT id FROM (
        SELECT id FROM bulkupdate_runs WHERE submitted IS NULL FOR UPDATE SKIP LOCKED
    ) AS unfinished WHERE pg_try_advisory_xact_lock(%s, hashint8(id))
)
"""

_BEGIN = """
INSERT INTO bulkupdate_runs (format, version, input, rows, settings, stale_after)
VALUES (%(format)s, %(version)s, %(input)s, %(rows)s, %(settings)s,
        now() + %(age)s::float8 * interval '1 s')
RETURNING id, pg_advisory_lock(%(lock)s, hashint8(id))
"""

#: Most users of whom the name is kept.
_PEOPLE = 1000

#: Class of the locks of submitters.
_LOCK = 7_250_113


class Submitted(NamedTuple):
    """A run that was submitted.

    Attributes:
        run: its id.
        preview: the content of its input; with `compare`, of what its plan would change.
        conflicts: with `compare`, number of rows that are not sent, as they conflict. They are the
            last rows of the run's input, and have their results.
    """

    run: int
    preview: Preview
    conflicts: int = 0


async def submit(
    config: RunConfig,
    database: Database,
    *,
    stop: Stop | None = None,
    observer: Observer | None = None,
    confirm: Confirm | None = None,
) -> Submitted:
    """Check a file of edits whole, and hand its edits to a fleet.

    With `compare`, or for a file of rules, the tasks are read and compared here. What would change
    is handed to the fleet, as `plan` writes it; conflicts are not.

    What is read of the accounts keeps the limit that workers share.

    Args:
        config: the settings of the run. Its keys are used only to read the tasks, and its rate is
            a ceiling of that.
        database: the database of the fleet.
        stop: ends it early: nothing is submitted.
        observer: is told of the check.
        confirm: is awaited with the preview before rows that complete tasks or empty fields. None
            submits without a question.

    Raises:
        InputError: the input can't be used, or has invalid rows; or too many tasks would change.
            Nothing was submitted.
        ConfigError: no worker has had the key of an account yet, it is not known whose team is
            meant, or an account may only be read.
        DeclinedError: `confirm` returned False.
        RunStoppedError: `stop` was set, or the tasks can't be read.
        DatabaseError: the database can't be reached, or refused. Nothing was submitted, unless the
            last of the statements was in flight: `fleet status` shows the run then.
    """
    stop, observer = stop or Stop(), observer or Observer()
    with tempfile.TemporaryDirectory(prefix="bulkupdate-") as name:
        directory = Path(name)
        if config.input == "-":
            copy = await asyncio.to_thread(copy_stdin, directory / "stdin", stop)
        else:
            copy = Path(config.input)
        name = "stdin" if config.input == "-" else str(config.input)
        limits = SharedLimits(database, rate=config.rate, give_up_after=config.retry.give_up_after)
        if not config.compare:
            return await _submit(config, _Planned(copy), name, limits, stop, observer, confirm)
        planned = await _plan(config, copy, directory, limits, stop, observer)
        # The plan has its times with offsets, and each row names its account.
        whole = replace(
            config,
            input=planned.path,
            read=planned.read,
            account=None,
            merge_duplicates=False,
            allow_empty=True,
        )
        name = f"the plan of {name}"
        return await _submit(whole, planned, name, limits, stop, observer, confirm)


class _Planned(NamedTuple):
    """A plan: its file of edits, and the conflicts at the end of it.

    Attributes:
        path: the file.
        conflicts: why each of the last rows conflicts: a JSON object on each line; None without.
        number: number of these rows.
        read_at: when the tasks began to be read, by `time.monotonic`; None if they were not.
        read: the options for reading the file, of which the moment and the time zone are shown.
        people: the users of the teams by id, for people.
    """

    path: Path
    conflicts: Path | None = None
    number: int = 0
    read_at: float | None = None
    read: ReadOptions = ReadOptions()
    people: Mapping[str, str] = MappingProxyType({})


class _Conflict(msgspec.Struct, frozen=True):
    """A row that conflicts, as a row of a file of edits, and why."""

    row: dict[str, Any]
    error: ErrorInfo


async def _plan(
    config: RunConfig,
    copy: Path,
    directory: Path,
    limits: SharedLimits,
    stop: Stop,
    observer: Observer,
) -> _Planned:
    """Compare the rows with the tasks, and write what would change to a file.

    Rows that conflict come last, so that the run has a result for each of them.
    """
    path, conflicts = directory / "edits.jsonl", directory / "conflicts.jsonl"
    read_at, number = time.monotonic(), 0
    now, timezone = config.read.now or datetime.now(UTC), config.read.timezone
    if is_rules(copy):
        timezone = (await asyncio.to_thread(load_rules, copy)).timezone
    with conflicts.open("wb") as file:

        def keep(edit: dict[str, Any], account: str, error: ErrorInfo) -> None:
            nonlocal number
            number += 1
            named = {"account": account} if account else {}
            file.write(to_json(_Conflict({**edit, **named}, error)) + b"\n")

        def conflicts_of(row: Row, error: ErrorInfo) -> None:
            if row.update is None:
                raise AssertionError("a row that was judged has an update")
            expect = {"expect": row.expect} if row.expect else {}
            keep({"id": row.id, **row.update.changes(), **expect}, row.account, error)

        def left_out(edit: Edit, lost: Collection[str]) -> None:
            # What the task is like can't be expected then: that may be a broken character.
            held = {name: value for name, value in edit.values.items() if name not in lost}
            what = f"no file of edits can hold its {', '.join(lost)}: change it in lemlist"
            keep({"id": edit.id, **held}, edit.account, ErrorInfo("unknown", what))

        planning = plan_edits(
            copy,
            config.endpoint,
            accounts=config.accounts,
            account=config.account,
            read=replace(config.read, accounts=None, account=None, now=now),
            skip_invalid=config.skip_invalid,
            unlisted=config.unlisted,
            max_changes=config.max_changes,
            allow_few=config.allow_few,
            retry=config.retry,
            stop=stop,
            on_conflict=conflicts_of,
            limiters=limits.limiter,
        )
        async with planning as plan:
            if plan.unread:
                raise RunStoppedError(f"nothing was submitted: {plan.why_unread}")
            if why := plan.refusal(config.max_changes, skip_invalid=config.skip_invalid):
                raise InputError(f"nothing was submitted: {why}")
            refused = [one.refused for one in (plan, *plan.accounts.values()) if one.refused]
            if refused and not config.yes:
                raise InputError(refused[0])
            await write_plan(plan, path, Format.JSONL, on_left_out=left_out)
            people = {one.id: plan.people.shown(one.id) for one in plan.people.members[:_PEOPLE]}
            for note in (*selected_lines(_evaluations(plan)), *plan.notes):
                observer.noted(note)
            observer.noted(
                f"compared with the tasks: {count(plan.tasks, 'task')} would change,"
                f" {count(plan.already, 'row')} already so, {count(number, 'conflict')}"
            )
    with path.open("ab") as edits, conflicts.open("rb") as lines:
        for line in lines:
            edits.write(to_json(parse_record(line, _Conflict).row) + b"\n")
    read = ReadOptions(format=Format.JSONL, now=now, timezone=timezone)
    return _Planned(path, conflicts, number, read_at, read, people)


def _evaluations(plan: Plan) -> dict[str, Evaluation]:
    """The evaluations of rules, by account; none for a file of edits."""
    found = {name: part.evaluation for name, part in plan.accounts.items()}
    found = found or {"": plan.evaluation}
    return {name: one for name, one in found.items() if one is not None}


async def _submit(
    config: RunConfig,
    planned: _Planned,
    name: str,
    limits: SharedLimits,
    stop: Stop,
    observer: Observer,
    confirm: Confirm | None,
) -> Submitted:
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkupdate-")))
        source = stack.enter_context(
            await asyncio.to_thread(_open, config, planned.path, name, stop)
        )
        inspection = await _check(config, source, stop)
        preview = inspection.preview(config.rate)
        observer.input_checked(source, preview)
        _refuse(config, source, preview)
        if confirm is not None and preview.completes_or_clears:
            await ask(confirm, preview, source.name, stop, "nothing was submitted")
        names = [*preview.accounts] if config.accounts is not None else [""]
        for name in names:
            if config.by_name[name].read_only:
                label = config.by_name[name].label
                raise ConfigError(f"{label}: it is read_only: its rows would change it")
        teams = await teams_of(limits, config.by_name, names, stop, has_keys=config.compare)
        if not config.same_team:
            _refuse_shared_teams(config, teams)
        merger = None
        if config.merge_duplicates:
            merger = stack.enter_context(Merger(inspection.followed(), directory / "parked"))
        async with _writing(limits.database, planned, preview.rows) as writing:
            run = await writing.begin(config, source, preview, teams)
            await writing.write_rows(
                source,
                merger,
                stop,
                has_unsent=bool(preview.invalid or preview.unchanged or planned.number),
            )
            if source.has_changed():
                raise InputError(f"{source.name} was written to while it was submitted")
            stop.check()
            await writing.finish()
    return Submitted(run, preview, planned.number)


def _open(config: RunConfig, path: Path, name: str, stop: Stop) -> Input:
    # Relative dates count from one moment, also when the input is read again.
    options = replace(config.read, now=config.read.now or datetime.now(UTC))
    return Input.open(path, name, options, stop)


def _refuse_shared_teams(config: RunConfig, teams: dict[str, TeamRow]) -> None:
    """Refuse accounts of one team: the rows of each are sent after those of the one before.

    Raises:
        ConfigError: two are of one team.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for name, team in teams.items():
        names.setdefault((config.by_name[name].base_url, team.team), []).append(name)
    for (_, team_id), several in names.items():
        if len(several) > 1:
            raise ConfigError(
                f"{' and '.join(several)} are one team ({team_id}), so that rows of one task could"
                f" go out of order: give them one name, or {setting('same_team')} sends them all"
                " the same"
            )


async def _check(config: RunConfig, source: Input, stop: Stop) -> Inspection:
    found = inspect(source, merge=config.merge_duplicates, allow_empty=config.allow_empty)
    inspection = next(found)
    for inspection in found:  # noqa: B007 - the last one is complete
        await asyncio.sleep(0)
        stop.check()
    return inspection


def _refuse(config: RunConfig, source: Input, preview: Preview) -> None:
    """Refuse what `run` refuses.

    Raises:
        InputError: it does.
    """
    if preview.expecting and not config.compare:
        rows = count(preview.expecting, "row")
        raise InputError(
            f"{source.name}: {rows} with expectations, which only {setting('compare')} judges: set"
            " it, or remove the columns expect.…"
        )
    if preview.invalid and not config.skip_invalid:
        raise InputError(
            f"{source.name}: {count(preview.invalid, 'invalid row')}: nothing was submitted"
        )


@contextlib.asynccontextmanager
async def _writing(database: Database, planned: _Planned, rows: int) -> AsyncIterator["_Writing"]:
    async with database.connection(None) as connection:
        await connection.execute(_ABANDONED, [_LOCK])
        writing = _Writing(database, connection, planned, rows - planned.number)
        try:
            yield writing
        except BaseException:
            # If the database is away, the next submitter removes it.
            with contextlib.suppress(psycopg.Error):
                await writing.give_up()
            raise
        finally:
            with contextlib.suppress(psycopg.Error):
                await connection.execute("SELECT pg_advisory_unlock_all()")


class _Writing:
    """What writes a run to the database.

    Args:
        database: the database.
        connection: the connection that writes.
        planned: the conflicts of the input.
        last: the last row that is sent. Those after it conflict.
    """

    def __init__(
        self,
        database: Database,
        connection: "psycopg.AsyncConnection[Any]",
        planned: _Planned,
        last: int,
    ) -> None:
        self._planned = planned
        self._last = last
        self._database = database
        self._connection = connection
        self._run: int | None = None
        #: Account → the id of its part; and the queues of the accounts.
        self._parts: dict[str, int] = {}
        self._queues: dict[str, str] = {}
        self._has_edits: set[str] = set()

    async def begin(
        self, config: RunConfig, source: Input, preview: Preview, teams: dict[str, TeamRow]
    ) -> int:
        """Write everything but the rows. Return the id of the run."""
        connection = self._connection
        values = {
            "format": FORMAT,
            "version": __version__,
            "input": source.name,
            "rows": preview.rows,
            "settings": to_json(
                replaced(settings_of(config, source), people=dict(self._planned.people))
            ),
            "age": self._age(config.max_age),
            "lock": _LOCK,
        }
        row = await (await connection.execute(_BEGIN, values)).fetchone()
        if row is None:
            raise AssertionError("it returns the id")
        self._run = run = int(row[0])
        await self._keep(INPUT, source.path)
        if config.read.value_map is not None:
            await self._keep(VALUE_MAP, Path(config.read.value_map))
        # Rows that name no account have a part too, which nobody works on.
        for name in dict.fromkeys([*teams, ""]):
            team = teams.get(name)
            base_url = config.by_name[name].base_url if team is not None else ""
            queue = queue_of(base_url, team.team) if team is not None else None
            row = await (
                await connection.execute(
                    "INSERT INTO bulkupdate_parts (run, account, base_url, team, queue)"
                    " VALUES (%s, %s, %s, %s, %s) RETURNING id",
                    [run, name, base_url, team.team if team else None, queue],
                )
            ).fetchone()
            if row is None:
                raise AssertionError("it returns the id")
            self._parts[name] = int(row[0])
            if queue is not None:
                self._queues[name] = queue
        return run

    def _age(self, most: float) -> float | None:
        """Seconds for which the comparison still counts; None if there was none."""
        read_at = self._planned.read_at
        return None if read_at is None else max(0.0, most - (time.monotonic() - read_at))

    async def _keep(self, name: str, path: Path) -> None:
        """Write a file, piece by piece."""
        with path.open("rb") as file:
            for number in itertools.count():
                piece = await asyncio.to_thread(file.read, _PIECE)
                if not piece and number:
                    return
                await self._connection.execute(
                    "INSERT INTO bulkupdate_files VALUES (%s, %s, %s, %s)",
                    [self._run, name, number, piece],
                )

    async def write_rows(
        self, source: Input, merger: Merger | None, stop: Stop, *, has_unsent: bool
    ) -> None:
        """Write the edits, and then the results of the rows that need no request."""
        await self._copy(
            "COPY bulkupdate_edits (part, row, edit) FROM STDIN",
            self._edits(source, merger),
            stop,
        )
        if has_unsent:
            await self._copy(
                "COPY bulkupdate_results (part, row, outcome, result) FROM STDIN",
                self._unsent(source),
                stop,
            )

    async def _copy(
        self, statement: LiteralString, records: Iterator[tuple[Any, ...]], stop: Stop
    ) -> None:
        batch = [*itertools.islice(records, _READ)]
        while batch:
            async with self._connection.cursor().copy(statement) as copy:
                copied = 0
                while batch and copied < _COPIED:
                    for record in batch:
                        await copy.write_row(record)
                    copied += len(batch)
                    await asyncio.sleep(0)
                    stop.check()
                    batch = [*itertools.islice(records, _READ)]

    def _edits(self, source: Input, merger: Merger | None) -> Iterator[tuple[int, int, bytes]]:
        for row in _merged(source, merger):
            if row.number > self._last:
                return
            self._has_edits.add(row.account)
            yield self._parts[row.account], row.number, edit_of(row)

    def _unsent(self, source: Input) -> Iterator[tuple[int, int, str, bytes]]:
        conflicts = self._conflicts()
        for row in source.rows():
            if row.number > self._last:
                result = unsent(row, Outcome.CONFLICT, next(conflicts))
            elif row.is_sent:
                continue
            elif row.update is None:
                result = unsent(row, Outcome.INVALID, ErrorInfo("invalid_row", row.error))
            else:
                result = unsent(row, Outcome.UNCHANGED)
            part = self._parts.get(row.account, self._parts[""])
            yield part, row.number, result.outcome.value, to_json(result)

    def _conflicts(self) -> Iterator[ErrorInfo]:
        if self._planned.conflicts is not None:
            with self._planned.conflicts.open("rb") as lines:
                for line in lines:
                    yield parse_record(line, _Conflict).error

    async def finish(self) -> None:
        """Make the run count: from here on, workers work on it."""
        queue = Queue(self._database)
        queues = {self._queues[name] for name in self._has_edits}
        async with self._connection.transaction():
            await self._connection.execute(
                "UPDATE bulkupdate_parts p SET rows = e.rows FROM ("
                " SELECT part, count(*) AS rows FROM bulkupdate_edits WHERE part = ANY(%s)"
                " GROUP BY part) AS e WHERE p.id = e.part",
                [[*self._parts.values()]],
            )
            await self._connection.execute(
                "UPDATE bulkupdate_parts SET ended = now() WHERE run = %s AND rows = 0", [self._run]
            )
            await queue.defer(sorted(queues), self._connection)
            await self._connection.execute(
                "UPDATE bulkupdate_runs SET submitted = now(), place = nextval('bulkupdate_places')"
                " WHERE id = %s",
                [self._run],
            )

    async def give_up(self) -> None:
        """Remove what was written."""
        if self._run is not None:
            await self._connection.execute(
                "DELETE FROM bulkupdate_runs WHERE id = %s AND submitted IS NULL", [self._run]
            )


def _merged(source: Input, merger: Merger | None) -> Iterator[Row]:
    """The rows that are sent, in their order."""
    for row in source.rows():
        if row.is_sent:
            yield from merger.add(row) if merger is not None else (row,)
    if merger is not None:
        yield from merger.rest()


def settings_of(config: RunConfig, source: Input) -> FleetSettings:
    """The settings of a run, as they are kept in the database."""
    read = msgspec.to_builtins(replace(source.options, value_map=None, accounts=None, account=None))
    return FleetSettings(
        read=read,
        path=str(config.input),
        name=source.path.name,
        value_map=config.read.value_map is not None,
        accounts=tuple(config.accounts) if config.accounts is not None else None,
        account=config.account,
        base_url=config.base_url,
        workers=config.workers,
        max_attempts=config.retry.max_attempts,
        give_up_after=config.retry.give_up_after,
        max_failures=None if config.max_failures is None else str(config.max_failures),
        skip_invalid=config.skip_invalid,
        merge_duplicates=config.merge_duplicates,
        allow_empty=config.allow_empty,
        strict=config.strict,
        compared=config.compare,
        max_age=config.max_age,
    )
