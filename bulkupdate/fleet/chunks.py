"""Chunks: the next updates of a team, as a job takes them from the database, and their results."""

import asyncio
import logging
from typing import LiteralString, NamedTuple

from bulkupdate.codec import parse_record, to_json
from bulkupdate.errors import JournalError
from bulkupdate.fleet.database import Database, DatabaseError
from bulkupdate.fleet.queue import FORMAT, OPEN_PARTS, PART_ORDER, Lease
from bulkupdate.fleet.records import UPDATES, FleetSettings, row_of
from bulkupdate.models import SUCCESSES, Result, Row, Traffic

#: Times that a chunk is given out without progress before it is set aside.
MOST_TRIES = 3

#: Seconds for which results are gathered: a statement for each would cost as much as a request.
_GATHER = 0.02

#: Seconds between two attempts while the database is away.
_BETWEEN = 0.5

#: Nothing is taken for a job that another worker has.
_PART: LiteralString = """
SELECT p.id, p.run, p.account, r.format, r.settings, r.stale_after < now(), p.next_row,
       p.given_to, p.tried_rows, p.tried, p.sent, p.unsuccessful
FROM {open} AND p.queue = %(queue)s AND EXISTS (
    SELECT FROM procrastinate_jobs
    WHERE id = %(job)s AND status = 'doing' AND attempts = %(attempt)s AND worker_id = %(worker)s
)
ORDER BY {order} LIMIT 1 FOR UPDATE OF p
""".replace("{open}", OPEN_PARTS).replace("{order}", PART_ORDER)

_EDITS = """
SELECT e.row, e.edit, coalesce(r.again, false)
FROM bulkupdate_edits e LEFT JOIN bulkupdate_results r USING (part, row)
WHERE e.part = %(part)s AND e.row >= %(next)s AND (r.row IS NULL OR r.again)
ORDER BY e.row LIMIT %(most)s
"""

_TAKEN = """
UPDATE bulkupdate_parts SET
    job = %(job)s, lease = lease + 1, given_to = greatest(given_to, %(last)s), next_row = %(row)s,
    tried_rows = %(rows)s, tried = CASE WHEN tried_rows = %(rows)s THEN tried + 1 ELSE 1 END,
    began = coalesce(began, now()), waiting_for = NULL
WHERE id = %(part)s
RETURNING lease, tried
"""

_ENDED = """
UPDATE bulkupdate_parts SET ended = now(), waiting_for = NULL, job = NULL WHERE id = %s
"""

#: Later rows of the same tasks too: they must not go before these.
_ASIDE = """
WITH edits AS (
    SELECT row, convert_from(edit, 'UTF8')::jsonb #>> '{update,id}' AS task
    FROM bulkupdate_edits WHERE part = %(part)s AND row >= (%(rows)s::int[])[1]
)
INSERT INTO bulkupdate_results (part, row)
SELECT %(part)s, row FROM edits
WHERE row = ANY(%(rows)s::int[])
   OR task IN (SELECT task FROM edits WHERE row = ANY(%(rows)s::int[]))
ON CONFLICT (part, row) DO UPDATE SET outcome = NULL, result = NULL, again = false
WHERE bulkupdate_results.again
"""

#: The newest lease counts: a worker that was stopped may bring what it had in flight.
_RESULTS = """
INSERT INTO bulkupdate_results AS r (part, row, outcome, result, lease)
SELECT * FROM unnest(
    %(part)s::bigint[], %(row)s::int[], %(outcome)s::text[], %(result)s::bytea[],
    %(lease)s::bigint[]
)
ON CONFLICT (part, row) DO UPDATE SET
    outcome = EXCLUDED.outcome, result = EXCLUDED.result, lease = EXCLUDED.lease, again = false,
    transaction = pg_current_xact_id()
WHERE r.lease <= EXCLUDED.lease
"""

_DONE = """
UPDATE bulkupdate_parts SET
    sent = sent + %(sent)s, unsuccessful = unsuccessful + %(unsuccessful)s,
    requests = requests + %(requests)s, retries = retries + %(retries)s,
    rate_limited = rate_limited + %(rate_limited)s, paused = paused + %(paused)s,
    allowed_rate = %(allowed_rate)s, waiting_for = NULL,
    -- Its job may go on with another run.
    job = NULL,
    given_to = CASE WHEN %(unsent_to)s::int IS NULL THEN given_to ELSE %(unsent_to)s END,
    tried = CASE WHEN %(orderly)s AND tried > 0 THEN tried - 1 ELSE tried END,
    reason = coalesce(reason, %(reason)s), stopped_by = coalesce(stopped_by, %(stopped_by)s)
WHERE id = %(part)s AND lease = %(lease)s
"""

log = logging.getLogger(__name__)


class Chunk(NamedTuple):
    """The next updates of one account of a run.

    Attributes:
        part: the id of the part of the run.
        run: the id of the run.
        account: the name of the account, as the submitter calls it.
        settings: the settings of the run.
        rows: the rows, in their order.
        lease: the number of times that a chunk of this part was given out.
        sent_before: the numbers of those that a worker may have sent before.
        given_to: the last row that was given out before.
        is_stale: whether the comparison of the run is too old.
        sent: number of rows of the part that were sent before.
        unsuccessful: number of them that did not go through.
    """

    part: int
    run: int
    account: str
    settings: FleetSettings
    rows: list[Row]
    lease: int
    sent_before: frozenset[int]
    given_to: int
    is_stale: bool
    sent: int
    unsuccessful: int


class NewerFormatError(Exception):
    """The next updates of a team were submitted by a newer version."""


async def next_chunk(database: Database, queue: str, lease: Lease) -> Chunk | None:
    """Take the next updates of a team.

    Args:
        database: the database.
        queue: the queue of the team.
        lease: the job that takes them.

    Returns:
        The chunk; None if nothing is left, or another worker has the job.

    Raises:
        NewerFormatError: the next updates have a format that this version does not know.
        DatabaseError: the database can't be reached.
    """
    while True:
        async with database.connection() as connection, connection.transaction():
            asked = {"queue": queue, **lease._asdict()}
            part = await (await connection.execute(_PART, asked)).fetchone()
            if part is None:
                return None
            id_, run, account, format_, settings, is_stale, after, given_to, *rest = part
            tried_rows, tried, *sent = rest
            if format_ > FORMAT:
                raise NewerFormatError
            values = {"part": id_, "next": after, "most": UPDATES}
            edits = await (await connection.execute(_EDITS, values)).fetchall()
            if not edits:
                await connection.execute(_ENDED, [id_])
                continue
            rows = [edit[0] for edit in edits]
            first, same = rows[0], f"{rows[0]} {rows[-1]} {len(rows)}"
            if tried_rows == same and tried >= MOST_TRIES:
                await connection.execute(_ASIDE, {"part": id_, "rows": rows})
                log.error(
                    "run %d: rows %d to %d were given out %d times without a result: set aside",
                    run,
                    first,
                    rows[-1],
                    tried,
                )
                continue
            values = {
                "part": id_,
                "row": first,
                "rows": same,
                "job": lease.job,
                "last": rows[-1],
            }
            taken = await (await connection.execute(_TAKEN, values)).fetchone()
            if taken is None:
                raise AssertionError("the part is locked")
            return Chunk(
                id_,
                run,
                account,
                parse_record(bytes(settings), FleetSettings),
                [row_of(number, bytes(edit), account) for number, edit, _ in edits],
                taken[0],
                frozenset(number for number, _, again in edits if again or number <= given_to),
                given_to,
                bool(is_stale),
                *sent,
            )


class ChunkEnd(NamedTuple):
    """What became of a chunk, beside its results.

    Attributes:
        traffic: counts of its requests.
        sent: number of rows that were sent.
        unsuccessful: number of them that did not go through.
        paused: seconds for which 429s paused it.
        allowed_rate: requests per second that the limiter allows.
        reason: why the account stops for this run, in words; None if it goes on.
        stopped_by: the same as one of the known reasons.
        is_orderly: whether the chunk was ended before its time by the worker itself.
        unsent_to: the last row that may have been sent without a result, if that is known to be one
            before this chunk; else None.
    """

    traffic: Traffic
    sent: int
    unsuccessful: int
    paused: float
    allowed_rate: float | None
    reason: str | None
    stopped_by: str | None
    is_orderly: bool
    unsent_to: int | None


async def note_end(database: Database, chunk: Chunk, end: ChunkEnd) -> None:
    """Write down what became of a chunk.

    Raises:
        DatabaseError: the database can't be reached.
    """
    await database.rows(
        _DONE,
        {
            "part": chunk.part,
            "lease": chunk.lease,
            "sent": end.sent,
            "unsuccessful": end.unsuccessful,
            "requests": end.traffic.requests,
            "retries": end.traffic.retries,
            "rate_limited": end.traffic.rate_limited,
            "paused": end.paused,
            "allowed_rate": end.allowed_rate,
            "reason": end.reason,
            "stopped_by": end.stopped_by,
            "orderly": end.is_orderly,
            "unsent_to": end.unsent_to,
        },
    )


#: A result: part, row, outcome, the line of the log, lease. What one caller waits for: all of its.
_Record = tuple[int, int, str, bytes, int]
_Pending = tuple["asyncio.Future[None]", list[_Record]]


def _lease(record: _Record) -> int:
    return record[-1]


def _wake(pending: list[_Pending], error: Exception | None = None) -> None:
    """Wake callers whose results are written, or could not be written."""
    for written, _ in pending:
        if written.done():
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(JournalError(f"results can't be written: {error}"))


class ResultsTable:
    """The writer of results: those of all lanes of a worker share its statements.

    Args:
        database: the database.
        give_up_after: seconds that the database may be away.
    """

    def __init__(self, database: Database, give_up_after: float) -> None:
        self._database = database
        self._give_up_after = give_up_after
        self._pending: list[_Pending] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, chunk: Chunk, results: list[Result]) -> None:
        """Write results, and wait until the database has them.

        Raises:
            JournalError: they could not be written.
        """
        records = [
            (chunk.part, one.row, one.outcome.value, to_json(one), chunk.lease) for one in results
        ]
        written = asyncio.get_running_loop().create_future()
        self._pending.append((written, records))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        # A caller that is cancelled leaves the others their statement.
        await asyncio.shield(written)

    async def _write_all(self) -> None:
        try:
            while self._pending:
                await asyncio.sleep(_GATHER)
                pending, self._pending = self._pending, []
                try:
                    await self._write([one for _, records in pending for one in records])
                except DatabaseError as error:
                    if error.is_away or len(pending) == 1:
                        _wake(pending, error)
                    else:
                        # One run may have been forgotten meanwhile. The others are as they were.
                        await self._write_each(pending)
                except Exception as error:
                    _wake(pending, error)
                    raise
                else:
                    _wake(pending)
        finally:
            self._writing = None

    async def _write_each(self, pending: list[_Pending]) -> None:
        for one in pending:
            try:
                await self._write(one[1])
            except DatabaseError as error:
                _wake([one], error)
            else:
                _wake([one])

    async def _write(self, records: list[_Record]) -> None:
        clock = asyncio.get_running_loop().time
        since = clock()
        # A worker that takes up its own job again may have two results of a row: the newer lease
        # counts. A statement can't have both.
        newest = {
            (part, row): one for one in sorted(records, key=_lease) for part, row in [one[:2]]
        }
        names = "part", "row", "outcome", "result", "lease"
        columns = dict(
            zip(names, map(list, zip(*sorted(newest.values()), strict=True)), strict=True)
        )
        while True:
            try:
                await self._database.rows(_RESULTS, columns)
            except DatabaseError as error:
                if not error.is_away or clock() - since > self._give_up_after:
                    raise
                await asyncio.sleep(_BETWEEN)
            else:
                return

    async def close(self) -> None:
        """Wait until everything is written, or can't be."""
        if self._writing is not None:
            await asyncio.wait([self._writing])


def count_sent(results: list[Result]) -> tuple[int, int]:
    """The number of rows that were sent, and of those among them that did not go through."""
    sent = [one for one in results if one.sent is not None or one.sent_with is not None]
    return len(sent), sum(one.outcome not in SUCCESSES for one in sent)
