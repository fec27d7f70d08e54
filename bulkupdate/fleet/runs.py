"""The runs of a fleet: what became of them so far; and how one is cancelled, or goes on."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple

from bulkupdate.codec import parse_record
from bulkupdate.errors import LANE_STOPPERS, ConfigError, count
from bulkupdate.fleet.database import SERVER_BEGIN, Database
from bulkupdate.fleet.queue import ALIVE, OPEN_PARTS, PART_ORDER, Queue
from bulkupdate.fleet.records import FleetSettings
from bulkupdate.models import RETRIED, Outcome, Reason

_RUNS = """
SELECT id, key::text, input, rows, settings, created, cancelled, stale_after < now()
FROM bulkupdate_runs
WHERE submitted IS NOT NULL AND (%(run)s::bigint IS NULL OR id = %(run)s) ORDER BY id
"""

_PARTS: LiteralString = """
WITH the_living AS (
    SELECT DISTINCT m.queue FROM bulkupdate_members m
    WHERE m.worker IN (SELECT w.id FROM {alive})
)
SELECT p.id, p.run, p.account, p.base_url, p.team, p.rows, p.reason, p.stopped_by, p.ended,
       p.requests, p.retries, p.rate_limited, p.paused, p.allowed_rate, p.waiting_for, p.began,
       extract(epoch FROM coalesce(p.ended, now()) - p.began)::float8, a.key_hash, a.trouble,
       j.id IS NOT NULL,
       CASE WHEN j.id IS NOT NULL AND w.id IS NULL THEN 'infinity'::float8
            -- Nobody could be heard while the database was away.
            WHEN greatest(w.last_heartbeat, {begin}) < now() - interval '1 s' * b.lease
            THEN extract(epoch FROM now() - w.last_heartbeat)::float8 END,
       p.queue
FROM bulkupdate_parts p
LEFT JOIN procrastinate_jobs j ON j.id = p.job AND j.status = 'doing'
LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
LEFT JOIN bulkupdate_workers b ON b.id = w.id
LEFT JOIN LATERAL (
    SELECT max(key_hash) AS key_hash,
           CASE WHEN p.queue IN (SELECT queue FROM the_living) THEN NULL
                WHEN NOT EXISTS (SELECT FROM {alive}) THEN 'no worker is there'
                ELSE coalesce(max(trouble), 'no worker has its key now') END AS trouble
    FROM bulkupdate_accounts WHERE queue = p.queue
) AS a ON p.queue IS NOT NULL
WHERE p.run = ANY(%s) ORDER BY p.id
""".replace("{begin}", SERVER_BEGIN).replace("{alive}", ALIVE)

#: For each team, the run that comes first.
_FIRST: LiteralString = """
SELECT DISTINCT ON (p.queue) p.queue, p.run FROM {open} AND p.queue = ANY(%s)
ORDER BY p.queue, {order}
""".replace("{open}", OPEN_PARTS).replace("{order}", PART_ORDER)

_COUNTS = """
SELECT part, outcome, count(*) FROM bulkupdate_results
WHERE part = ANY(%s) AND NOT again GROUP BY part, outcome
"""

_WORKERS: LiteralString = """
SELECT w.name, w.version, w.lease,
       extract(epoch FROM now() - greatest(p.last_heartbeat, {begin}))::float8
FROM bulkupdate_workers w JOIN procrastinate_workers p USING (id) ORDER BY w.id
""".replace("{begin}", SERVER_BEGIN)

_CANCEL = """
UPDATE bulkupdate_runs SET cancelled = now() WHERE id = %s AND cancelled IS NULL RETURNING id
"""

#: Rows that are sent again, and every later row of their tasks after them.
_AGAIN = """
WITH edits AS (
    SELECT e.part, e.row, convert_from(e.edit, 'UTF8')::jsonb #>> '{update,id}' AS task
    FROM bulkupdate_edits e WHERE e.part = ANY(%(parts)s)
), first AS (
    SELECT e.part, e.task, min(e.row) AS row
    FROM edits e JOIN bulkupdate_results r USING (part, row)
    WHERE r.outcome = ANY(%(outcomes)s)
       -- Failed for no reason of its own, as with a key that was refused.
       OR convert_from(r.result, 'UTF8')::jsonb #>> '{error,type}' = ANY(%(stoppers)s)
       OR convert_from(r.result, 'UTF8')::jsonb @> '{"cut_short": true}'
    GROUP BY e.part, e.task
)
UPDATE bulkupdate_results r SET again = true
FROM edits e JOIN first f USING (part, task)
WHERE r.part = e.part AND r.row = e.row AND e.row >= f.row AND r.result IS NOT NULL
"""

_GO_ON = """
UPDATE bulkupdate_parts SET
    reason = NULL, stopped_by = NULL, ended = NULL, next_row = 0, tried = 0, tried_rows = '',
    sent = 0, unsuccessful = 0
WHERE id = ANY(%s) AND queue IS NOT NULL
RETURNING queue
"""


class PartStatus(NamedTuple):
    """The part of a run that is of one account.

    Attributes:
        id: its id.
        run: the id of the run.
        account: the name of the account; "" where there is one key.
        base_url: the URL of the API.
        team: what stands for its team; None for rows that name no account.
        edits: number of its updates.
        counts: number of rows by outcome, so far.
        aside: number of rows that were set aside.
        reason: why it has stopped before its end, in words; None if it has not.
        stopped_by: the same as one of the known reasons.
        is_done: whether every update has its outcome.
        is_worked_on: whether a worker has a job of it.
        silent: seconds since that worker was heard of, if that is longer ago than its lease;
            infinity if it has gone.
        requests: number of its requests, with retries.
        retries: number of these that were not the first of their row.
        rate_limited: number of 429s.
        paused: seconds for which these paused it.
        allowed_rate: requests per second that are allowed; None if that is not known.
        waiting_for: why it starts no request now, in words; None if it may.
        behind: the id of the run of the same team that comes before; None if this one is next.
        began: when its first update was taken; None before.
        seconds: seconds since then, until its end if it has ended; None before.
        key_hash: a salted hash of its key; None if it is not known.
        trouble: why a worker can't work for the account; None if that is not known.
    """

    id: int
    run: int
    account: str
    base_url: str
    team: str | None
    edits: int
    counts: dict[str, int]
    aside: int
    reason: str | None
    stopped_by: Reason | None
    is_done: bool
    is_worked_on: bool
    silent: float | None
    requests: int
    retries: int
    rate_limited: int
    paused: float
    allowed_rate: float | None
    waiting_for: str | None
    behind: int | None
    began: datetime | None
    seconds: float | None
    key_hash: str | None
    trouble: str | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is sent of it, now or later."""
        return self.is_done or self.stopped_by is not None

    @property
    def why_waiting(self) -> str | None:
        """Why nothing of it is sent now, in words; None if it is, or will be soon."""
        return self.why_idle or self.why_held

    @property
    def why_held(self) -> str | None:
        """Why the worker that has it starts no request now, in words; None if it may."""
        return self.waiting_for if self.is_worked_on and self.silent is None else None

    @property
    def why_silent(self) -> str | None:
        """What is wrong with the worker that has it, in words; None if nothing is."""
        if self.silent is None:
            return None
        if math.isinf(self.silent):
            return "its worker has gone"
        return f"its worker is silent for {self.silent:.0f} s"

    @property
    def why_idle(self) -> str | None:
        """Why no worker works on it, in words; None if one does, or will soon, or it has ended."""
        if self.has_ended:
            return None
        if self.is_worked_on:
            return self.why_silent
        if self.trouble:
            return self.trouble
        if self.behind is None:
            return None
        return f"run {self.behind} is of the same team, and comes first"

    @property
    def settled(self) -> int:
        """Number of rows with an outcome."""
        return sum(self.counts.values())


class RunStatus(NamedTuple):
    """A run.

    Attributes:
        id: its id.
        key: what tells it from the runs of all other databases.
        input: the name of its input.
        rows: number of rows in the input.
        settings: its settings.
        created: when it was submitted.
        cancelled: when it was cancelled; None if it was not.
        is_stale: whether its comparison with the tasks is too old.
        parts: its parts.
    """

    id: int
    key: str
    input: str
    rows: int
    settings: FleetSettings
    created: datetime
    cancelled: datetime | None
    is_stale: bool
    parts: tuple[PartStatus, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows by outcome, and `unprocessed`."""
        found = {
            outcome.value: sum(part.counts.get(outcome.value, 0) for part in self.parts)
            for outcome in Outcome
        }
        return {**found, "unprocessed": self.rows - sum(found.values())}

    @property
    def has_ended(self) -> bool:
        """Whether nobody works on it, now or later."""
        is_over = self.cancelled is not None or all(part.has_ended for part in self.parts)
        return is_over and not any(part.is_worked_on for part in self.parts)

    @property
    def state(self) -> str:
        """`queued`, `running`, `finished`, `stopped` or `cancelled`."""
        if self.cancelled is not None:
            return "cancelled"
        if not self.has_ended:
            return "running" if any(part.began for part in self.parts) else "queued"
        return "stopped" if self.why_left is not None else "finished"

    @property
    def why_left(self) -> tuple[str, Reason] | None:
        """Why rows are left: in words, and as one of the known reasons; None if none are."""
        if not self.has_ended:
            how = "still under way" if self.cancelled is None else "cancelled, and about to end"
            return f"the run is {how} in the fleet", Reason.UNDER_WAY
        if self.cancelled is not None:
            return "the run was cancelled", Reason.REQUESTED
        stopped = [part for part in self.parts if part.stopped_by is not None]
        if stopped and not stopped[0].account:
            return stopped[0].reason or "", stopped[0].stopped_by or Reason.REQUESTED
        if stopped:
            named = "; ".join(f"{part.account}: {part.reason}" for part in stopped[:_NAMED])
            more = "; …" if len(stopped) > _NAMED else ""
            accounts = f"{count(len(stopped), 'account')} of {self._accounts:,}"
            return f"{accounts} stopped: {named}{more}", Reason.ACCOUNTS_STOPPED
        if aside := sum(part.aside for part in self.parts):
            return (
                f"{count(aside, 'row')} were set aside: workers died at them: 'bulkupdate fleet"
                f" retry {self.id}' sends them",
                Reason.SET_ASIDE,
            )
        return None

    @property
    def why_idle(self) -> str | None:
        """Why nobody works on it, in words; None if somebody does or will, or it has ended."""
        whys = [
            (part.account, part.why_idle if self.cancelled is None else part.why_silent)
            for part in self.parts
            if not part.has_ended and (self.cancelled is None or part.is_worked_on)
        ]
        if not all(why for _, why in whys):
            return None
        return next((f"{name}: {why}" if name else why for name, why in whys), None)

    @property
    def _accounts(self) -> int:
        return sum(part.team is not None for part in self.parts)


class WorkerStatus(NamedTuple):
    """A worker.

    Attributes:
        name: its name.
        version: the version of bulkupdate.
        lease: seconds without a heartbeat after which its jobs go to others.
        silent: seconds since its last heartbeat, or since the database began after that.
    """

    name: str
    version: str
    lease: float
    silent: float

    @property
    def is_alive(self) -> bool:
        """Whether it was heard of within its lease."""
        return self.silent <= self.lease


#: Accounts that a message names.
_NAMED = 5

#: Class of the locks of those who let runs go on, or forget them.
_LOCK = 7_250_114

_LOCKED = "SELECT pg_advisory_xact_lock(%s, hashint8(%s))"


async def runs_of(
    database: Database, run: int | None = None, *, counted: bool = True
) -> list[RunStatus]:
    """The runs of a fleet, or one of them.

    Args:
        database: the database.
        run: the id of the run; None for all.
        counted: whether its rows are counted by their outcome, which takes a second for a million.

    Raises:
        ConfigError: there is no run with this id.
        DatabaseError: the database can't be reached.
    """
    runs = await database.rows(_RUNS, {"run": run})
    if run is not None and not runs:
        raise ConfigError(f"there is no run {run}: 'bulkupdate fleet status' lists them")
    parts = await database.rows(_PARTS, [[row[0] for row in runs]])
    counts: dict[int, dict[str, int]] = {}
    aside: dict[int, int] = {}
    counting = [row[0] for row in parts] if counted else []
    for part, outcome, number in await database.rows(_COUNTS, [counting]):
        if outcome is None:
            aside[part] = number
        else:
            counts.setdefault(part, {})[outcome] = number
    cancelled = {row[0] for row in runs if row[6] is not None}
    queues = {row[-1] for row in parts} - {None}
    first = {row[0]: row[1] for row in await database.rows(_FIRST, [[*queues]])}
    of_run: dict[int, list[PartStatus]] = {}
    for id_, of, account, base_url, team, edits, reason, stopped_by, ended, *rest in parts:
        requests, retries, limited, paused, allowed, waiting, began, *rest = rest
        seconds, key_hash, trouble, has_job, silent, queue = rest
        next_of_team = first.get(queue)
        is_over = ended or stopped_by or of in cancelled
        of_run.setdefault(of, []).append(
            PartStatus(
                id=id_,
                run=of,
                account=account,
                base_url=base_url,
                team=team,
                edits=edits,
                counts=counts.get(id_, {}),
                aside=aside.get(id_, 0),
                reason=reason,
                stopped_by=Reason(stopped_by) if stopped_by else None,
                is_done=ended is not None,
                is_worked_on=has_job,
                silent=silent,
                requests=requests,
                retries=retries,
                rate_limited=limited,
                paused=paused,
                allowed_rate=allowed,
                waiting_for=waiting,
                behind=None if is_over or next_of_team == of else next_of_team,
                began=began,
                seconds=seconds,
                key_hash=key_hash,
                trouble=trouble,
            )
        )
    return [
        RunStatus(
            id_,
            key,
            name,
            rows,
            parse_record(bytes(settings), FleetSettings),
            created,
            cancelled,
            bool(is_stale),
            tuple(of_run.get(id_, ())),
        )
        for id_, key, name, rows, settings, created, cancelled, is_stale in runs
    ]


async def workers_of(database: Database) -> Sequence[WorkerStatus]:
    """The workers of a fleet.

    Raises:
        DatabaseError: the database can't be reached.
    """
    return [WorkerStatus(*row) for row in await database.rows(_WORKERS)]


async def cancel(database: Database, run: int) -> bool:
    """Cancel a run: no more requests start for it, on any host.

    Returns:
        Whether it was not cancelled before.

    Raises:
        ConfigError: there is no run with this id, or it has ended.
        DatabaseError: the database can't be reached.
    """
    (found,) = await runs_of(database, run, counted=False)
    if found.cancelled is None and found.has_ended:
        raise ConfigError(f"run {run} has ended: there is nothing to cancel")
    return await database.row(_CANCEL, [run]) is not None


async def retry(database: Database, run: int, *, failed: bool) -> int:
    """Let a run go on that has rows left: an account has stopped, or it was cancelled.

    Args:
        database: the database.
        run: the id of the run.
        failed: whether failed, unconfirmed and conflicting rows are sent again too. Later rows of
            their tasks are sent again after them.

    Returns:
        Number of rows that are left now.

    Raises:
        ConfigError: there is no run with this id, it has not ended, or nothing of it is left.
        DatabaseError: the database can't be reached.
    """
    async with database.connection(None) as connection, connection.transaction():
        # Another one may do the same.
        await connection.execute(_LOCKED, [_LOCK, run])
        (before,) = await runs_of(database, run, counted=False)
        if not before.has_ended:
            raise ConfigError(
                f"run {run} was cancelled, and its last requests are ending: try again in a moment"
                if before.cancelled
                else f"run {run} is still under way: nothing is to be retried yet"
            )
        if failed and before.is_stale:
            raise ConfigError(
                f"run {run}: its comparison with the tasks is older than"
                f" {before.settings.max_age:g} s, so its rows would conflict: submit them again"
            )
        parts = [part.id for part in before.parts]
        outcomes = [outcome.value for outcome in RETRIED] if failed else []
        values = {"parts": parts, "outcomes": outcomes, "stoppers": [*LANE_STOPPERS]}
        again = await connection.execute(_AGAIN, values)
        aside = await connection.execute(
            "DELETE FROM bulkupdate_results WHERE part = ANY(%s) AND result IS NULL", [parts]
        )
        is_left = before.cancelled or any(not part.is_done for part in before.parts)
        if not (again.rowcount or aside.rowcount or is_left):
            raise ConfigError(f"run {run} has ended, and nothing of it is left to send")
        await connection.execute("UPDATE bulkupdate_runs SET cancelled = NULL WHERE id = %s", [run])
        cursor = await connection.execute(_GO_ON, [parts])
        queues = {row[0] for row in await cursor.fetchall()}
        await Queue(database).defer(sorted(queues), connection)
    (after,) = await runs_of(database, run)
    return after.counts["unprocessed"]


async def forget(database: Database, run: int) -> None:
    """Remove a run and all that is kept of it. One that is not there is forgotten already.

    Raises:
        ConfigError: it has not ended.
        DatabaseError: the database can't be reached.
    """
    async with database.connection(None) as connection, connection.transaction():
        # Another one may let it go on.
        await connection.execute(_LOCKED, [_LOCK, run])
        if not await database.rows("SELECT 1 FROM bulkupdate_runs WHERE id = %s", [run]):
            return
        (status,) = await runs_of(database, run, counted=False)
        if not status.has_ended:
            raise ConfigError(f"run {run} is still under way: it is kept")
        for part in status.parts:
            await connection.execute("DELETE FROM bulkupdate_results WHERE part = %s", [part.id])
            await connection.execute("DELETE FROM bulkupdate_edits WHERE part = %s", [part.id])
        await connection.execute("DELETE FROM bulkupdate_runs WHERE id = %s", [run])
