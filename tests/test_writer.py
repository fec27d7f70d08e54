"""Settled rows on their way to the disk."""

import asyncio

import pytest

from bulkupdate.config import FailureLimit
from bulkupdate.errors import JournalError
from bulkupdate.models import ErrorInfo, Outcome, Result, Row
from bulkupdate.recorder import Recorder
from bulkupdate.stop import Stop
from bulkupdate.writer import BATCH, Writer
from tests.fakes import row


class FakeRecorder(Recorder):
    """Keeps what it is given, each batch by itself; rows in `refused` can't be written."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.refused: set[int] = set()

    def log(self, settled: list[tuple[Row, Result]]) -> None:
        numbers = [result.row for _, result in settled]
        if self.refused.intersection(numbers):
            raise JournalError("No space left on device")
        if numbers:
            self.batches.append(numbers)

    def list_failed(self, settled: list[tuple[Row, Result]]) -> None:
        """There is no such file."""


class Writing:
    """A writer at work, and what has come of it."""

    def __init__(self, max_failures: FailureLimit | None = None) -> None:
        self.recorder = FakeRecorder()
        self.stop = Stop()
        self.writer = Writer(self.recorder, self.stop, max_failures)
        self.told: list[int] = []
        self.task = asyncio.create_task(self.writer.run())

    async def put(self, *numbers: int, outcome: Outcome = Outcome.UPDATED) -> None:
        for number in numbers:
            await self.writer.put(
                row(number, title="T"),
                result(number, outcome),
                lambda r: self.told.append(r.number),
            )

    async def end(self) -> None:
        self.writer.end()
        await self.task


def result(number: int, outcome: Outcome = Outcome.UPDATED) -> Result:
    error = None if outcome is Outcome.UPDATED else ErrorInfo("bad_request", "x")
    return Result(row=number, id=f"opp_{number}", outcome=outcome, attempts=1, at="", sent={},
                  error=error)  # fmt: skip


async def test_what_a_turn_of_the_loop_settles_is_written_at_once_and_told_then() -> None:
    writing = Writing()
    await asyncio.sleep(0)
    await writing.put(3, 1, 2)
    assert (writing.recorder.batches, writing.told) == ([], [])
    await asyncio.sleep(0)
    assert (writing.recorder.batches, writing.told) == ([[3, 1, 2]], [3, 1, 2])
    await writing.put(5)
    await writing.end()
    assert writing.recorder.batches == [[3, 1, 2], [5]]


async def test_no_more_wait_than_are_written_at_once() -> None:
    writing = Writing()
    await asyncio.sleep(0)
    await writing.put(*range(1, 10 * BATCH))
    await writing.end()
    assert max(map(len, writing.recorder.batches)) == BATCH
    written = [number for batch in writing.recorder.batches for number in batch]
    assert written == list(range(1, 10 * BATCH))


async def test_what_can_not_be_written_is_not_told_and_stops_the_run() -> None:
    writing = Writing()
    await asyncio.sleep(0)
    writing.recorder.refused = {2}
    await writing.put(1, 2)
    await asyncio.sleep(0)
    await writing.put(3)
    await writing.end()
    assert writing.told == [3]
    assert writing.stop.reason == "No space left on device"


async def test_a_row_that_is_to_be_written_now_is_or_it_is_an_error() -> None:
    writing = Writing()
    await writing.put(1)
    writing.writer.write(row(2), result(2))
    assert writing.recorder.batches == [[1, 2]]
    writing.recorder.refused = {3}
    with pytest.raises(JournalError, match="No space"):
        writing.writer.write(row(3), result(3))
    await writing.end()


@pytest.mark.parametrize("has_begun", [False, True])
async def test_nothing_is_left_behind_by_a_writer_that_is_cancelled(has_begun: bool) -> None:
    writing = Writing()
    if has_begun:
        await asyncio.sleep(0)
        await writing.put(1, 2)
        writing.task.cancel()
        await asyncio.wait([writing.task])
        assert writing.recorder.batches == [[1, 2]]
    else:
        await writing.end()
    await writing.put(3)
    assert writing.recorder.batches[-1] == [3]


async def test_what_the_next_row_is_told_of_may_fail_and_stops_the_run() -> None:
    writing = Writing()

    def fail(_: Row) -> None:
        raise JournalError("rows can't be read back")

    await writing.writer.put(row(1), result(1), fail)
    await writing.put(2)
    await writing.end()
    assert writing.told == [2]
    assert writing.stop.reason == "rows can't be read back"


async def test_too_many_failures_stop_the_run_before_they_are_written() -> None:
    writing = Writing(FailureLimit(rows=2))
    await writing.put(1, 2)
    assert not writing.stop.is_set
    await writing.put(3, 4, outcome=Outcome.FAILED)
    assert writing.stop.is_set
    await writing.end()
