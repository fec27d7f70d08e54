"""The cost of a row in steps of the interpreter, which do not depend on the machine's load.

`python -m tests.cost` prints the bytecode instructions and the calls of C functions for one row in
each part of the program. The numbers are the same each time. They do not include the time inside C
functions, which `python -m benchmarks` measures.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from aiohttp import Payload
from multidict import CIMultiDict, CIMultiDictProxy

from benchmarks.inputs import write_edits
from bulkupdate.engine.backlog import Backlog
from bulkupdate.engine.lane import Lane
from bulkupdate.engine.limiter import NoLimiter
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal.digests import DigestFile
from bulkupdate.journal.directory import Mode, RunDirectory
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.recorder import Recorder
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.models import Outcome, Result, Row
from bulkupdate.plan.duedates import DueDateCount
from bulkupdate.plan.preview import INSPECT_BATCH, Inspection
from bulkupdate.reader import Input
from bulkupdate.session.feeder import Feeder
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop
from tests.support.fakes import FakeServer

#: Rows of two runs. Their difference has only the cost of rows, because fixed costs cancel out.
FEW, MANY = 600, 1600

#: Workers that bring a result in every turn of the event loop, as sixteen real workers do.
WORKERS = 8


class Steps(NamedTuple):
    """The steps of the interpreter.

    Attributes:
        instructions: bytecode instructions.
        calls: calls of functions written in C.
    """

    instructions: int
    calls: int


@contextmanager
def _counting() -> Iterator[Callable[[], Steps]]:
    instructions = calls = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal instructions
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        instructions += event == "opcode"
        return trace

    def profile(_: FrameType, event: str, __: Any) -> None:
        nonlocal calls
        calls += event == "c_call"

    sys.setprofile(profile)
    sys.settrace(trace)
    try:
        yield lambda: Steps(instructions, calls)
    finally:
        sys.settrace(None)
        sys.setprofile(None)


class Parts:
    """The measured parts of the program, each for a number of rows."""

    def __init__(self, directory: Path, rows: int) -> None:
        self._directory = directory
        self._rows = rows
        self._edits = directory / f"edits{rows}.csv"
        write_edits(self._edits, rows)

    def reader(self) -> Steps:
        """The reader: from a line of CSV to a checked row."""
        with Input.open(self._edits) as source, _counting() as count:
            for _ in source.rows():
                pass
            return count()

    def inspection(self) -> Steps:
        """The check of a run before it sends rows."""
        dates = DueDateCount(datetime.now(UTC), UTC)
        rows, inspection = self._read(), Inspection(dates=dates)
        digests = DigestFile(self._directory / "digests")
        with _counting() as count:
            for start in range(0, len(rows), INSPECT_BATCH):
                batch = rows[start : start + INSPECT_BATCH]
                inspection.add(batch)
                for row in batch:
                    digests.add(row)
            digests.close()
            return count()

    def encoder(self) -> Steps:
        """The encoder: from a row to its request body."""
        updates = [row.update for row in self._read() if row.update]
        with _counting() as count:
            for update in updates:
                update.encode()
            return count()

    def lane(self) -> Steps:
        """The lane: from the backlog to a result, with a server that answers at once."""
        return asyncio.run(self._lane())

    async def _lane(self) -> Steps:
        backlog = Backlog(self._rows)
        for row in self._read():
            await backlog.put(row)
        backlog.close()

        async def take(*_: object) -> None:
            return

        lane = Lane(
            FakeServer(lambda *_: None),
            NoLimiter(),
            RetryPolicy(),
            workers=1,
            drain_timeout=1,
            stop=Stop(),
            on_result=take,
        )
        with _counting() as count:
            await lane.run(backlog)
            return count()

    def journal(self) -> Steps:
        """The journal: from a result to the disk."""
        return asyncio.run(self._journal())

    async def _journal(self) -> Steps:
        path = self._directory / f"{self._rows}.run"
        with Input.open(self._edits) as source, RunDirectory.open(path, Mode.NEW) as directory:
            recorder = Recorder.open(directory, source, Stop())
            writer = Writer(recorder, Stop())
            settled = [(row, self._result(row)) for row in self._read()]
            writing = asyncio.create_task(writer.run())
            rest = iter(settled)

            async def worker() -> None:
                for row, result in rest:
                    await writer.write(row, result)

            with _counting() as count:
                await asyncio.gather(*(worker() for _ in range(WORKERS)))
                steps = count()
            writer.end()
            await writing
            recorder.close()
        return steps

    def feeder(self) -> Steps:
        """The feeder: from the input to the backlog."""
        return asyncio.run(self._feeder())

    async def _feeder(self) -> Steps:
        with Input.open(self._edits) as source, Backlog(self._rows) as backlog:
            # All rows are sent, so the writer is not used.
            writer = Writer(Recorder.__new__(Recorder), Stop())
            remaining = Remaining(Ledger(), retry_failed=False)
            feeder = Feeder(source, remaining, writer, Stop())
            with _counting() as count:
                await feeder.feed(backlog, send=True)
                return count()

    def client(self) -> Steps:
        """The client: from an update to its Task, without the work of aiohttp."""
        return asyncio.run(self._client())

    async def _client(self) -> Steps:
        updates = [row.update for row in self._read() if row.update]
        endpoint = Endpoint(api_key=ApiKey("s3cret-k3y"), base_url="http://127.0.0.1:9")
        async with TaskClient(endpoint) as client:
            session = client._http._pool.session
            session.request = _answer  # type: ignore[method-assign,assignment]
            with _counting() as count:
                for update in updates:
                    await client.update(update)
                return count()

    def _result(self, row: Row) -> Result:
        return Result(row=row.number, id=row.id, outcome=Outcome.UPDATED, status=200, attempts=1,
                      at="2026-01-31T07:58:00.000Z", ms=1.5, sent={"title": "T"},
                      task={"_id": row.id, "title": "T"})  # fmt: skip

    def _read(self) -> list[Row]:
        with Input.open(self._edits) as source:
            return list(source.rows())


class _Answering:
    """A response like aiohttp's, with the Task of the request."""

    status, reason, closed = 200, "OK", True
    headers = CIMultiDictProxy(
        CIMultiDict({"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "19", "Retry-After": "1"})
    )

    def __init__(self, data: bytes) -> None:
        # `{"id": …` becomes `{"_id": …`.
        self._body = data.replace(b"id", b"_id", 1)
        self.content = self

    def read_nowait(self) -> bytes:
        return self._body


async def _answer(*_: object, data: Payload, **__: object) -> _Answering:
    return _Answering(await data.as_bytes())


def costs() -> dict[str, Steps]:
    """The cost of one row in each part."""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        few, many = (Parts(Path(directory), rows) for rows in (FEW, MANY))
        for name in ("reader", "inspection", "feeder", "encoder", "lane", "client", "journal"):
            low, high = getattr(few, name)(), getattr(many, name)()
            per_row = ((b - a) / (MANY - FEW) for a, b in zip(low, high, strict=True))
            found[name] = Steps(*(round(value, 1) for value in per_row))
    return found


if __name__ == "__main__":
    print(json.dumps(costs()))
