"""Settled rows on their way to the disk."""

import asyncio

import pytest

from bulkupdate.codec import replaced
from bulkupdate.errors import JournalError
from bulkupdate.journal.recorder import Recorder
from bulkupdate.models import ErrorInfo, Mismatch, Outcome, Result, Row, unsent
from bulkupdate.session.writer import BATCH, Writer
from bulkupdate.stop import Stop
from tests.support.clock import run_virtual
from tests.support.fakes import row


class FakeRecorder(Recorder):
    """Keeps what it is given, each batch by itself; rows in `refused` can't be written."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.settled: list[Result] = []
        self.refused: set[int] = set()

    def record(self, settled: list[tuple[Row, Result]]) -> None:
        numbers = [result.row for _, result in settled]
        if self.refused.intersection(numbers):
            raise JournalError("No space left on device")
        if numbers:
            self.batches.append(numbers)

        self.settled += [result for _, result in settled]

    def list_failed(self, settled: list[tuple[Row, Result]]) -> None:
        """There is no such file."""


class Writing:
    """A writer at work, and what has come of it."""

    def __init__(self) -> None:
        self.recorder = FakeRecorder()
        self.stop = Stop()
        self.writer = Writer(self.recorder, self.stop)
        self.told: list[int] = []
        self.task = asyncio.create_task(self.writer.run())

    async def write(self, number: int) -> None:
        """As a worker does, which starts nothing until it is told."""
        await self.writer.write(row(number), result(number))
        self.told.append(number)

    async def put(self, *numbers: int, outcome: Outcome = Outcome.UPDATED) -> None:
        for number in numbers:
            await self.writer.put(row(number, title="T"), result(number, outcome))

    async def end(self) -> None:
        self.writer.end()
        await self.task


def result(number: int, outcome: Outcome = Outcome.UPDATED) -> Result:
    error = None if outcome is Outcome.UPDATED else ErrorInfo("bad_request", "x")
    return Result(row=number, id=f"opp_{number}", outcome=outcome, attempts=1, at="", sent={},
                  error=error)  # fmt: skip


async def test_results_of_one_turn_share_a_write() -> None:
    """Results of one turn of the loop are written together before their workers continue."""
    writing = Writing()
    await asyncio.sleep(0)
    workers = [asyncio.create_task(writing.write(number)) for number in (3, 1, 2)]
    await asyncio.sleep(0)
    assert (writing.recorder.batches, writing.told) == ([], [])
    await asyncio.gather(*workers)
    assert (writing.recorder.batches, writing.told) == ([[3, 1, 2]], [3, 1, 2])
    await writing.put(5)
    await writing.end()
    assert writing.recorder.batches == [[3, 1, 2], [5]]


async def test_results_of_successive_turns_share_a_write() -> None:
    """Results that keep coming turn by turn are written together."""
    writing = Writing()

    async def worker(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)
        await writing.write(number)

    await asyncio.gather(*(worker(number) for number in range(1, 17)))
    await writing.end()
    assert writing.recorder.batches == [list(range(1, 17))]


async def test_writer_waits_for_no_missing_result() -> None:
    """The writer waits for no result that does not come, and writes what it has."""
    writing = Writing()
    await asyncio.sleep(0)
    first = asyncio.create_task(writing.write(1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (writing.recorder.batches, writing.told) == ([[1]], [1])
    await first
    await writing.end()


def test_full_batches_are_written_without_a_pause() -> None:
    """Rows that come faster than they are written wait for a turn of the loop, and no longer."""

    async def main() -> float:
        writing, now = Writing(), asyncio.get_running_loop().time
        begun = now()
        await writing.put(*range(1, 3 * BATCH))
        await writing.end()
        return now() - begun

    assert run_virtual(main()) < 0.1


async def test_cancelled_worker_leaves_every_result() -> None:
    """A worker that is cancelled while it waits leaves its own result and the others."""
    writing = Writing()
    await asyncio.sleep(0)
    workers = [asyncio.create_task(writing.write(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    workers[1].cancel()
    await asyncio.wait(workers, timeout=5)
    await writing.end()
    assert workers[1].cancelled()
    assert (writing.recorder.batches, writing.told) == ([[1, 2, 3]], [1, 3])


async def test_one_write_holds_a_full_batch() -> None:
    """No write holds more results than a full batch, and the order stays."""
    writing = Writing()
    await asyncio.sleep(0)
    await writing.put(*range(1, 10 * BATCH))
    await writing.end()
    assert max(map(len, writing.recorder.batches)) == BATCH
    written = [number for batch in writing.recorder.batches for number in batch]
    assert written == list(range(1, 10 * BATCH))


async def test_failed_write_raises_and_stops_run() -> None:
    """A write that fails raises an error for its workers and stops the run."""
    writing = Writing()
    writing.recorder.refused = {2}
    workers = [asyncio.create_task(writing.write(number)) for number in (1, 2)]
    found = await asyncio.gather(*workers, return_exceptions=True)
    assert [str(error) for error in found] == ["No space left on device"] * 2
    await writing.write(3)
    await writing.end()
    assert writing.told == [3]
    assert writing.stop.text == "No space left on device"


@pytest.mark.parametrize("has_begun", [False, True])
async def test_cancelled_writer_leaves_nothing_unwritten(has_begun: bool) -> None:
    """A writer that is cancelled or has ended leaves no result unwritten."""
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
    await writing.write(4)
    assert writing.recorder.batches[-2:] == [[3], [4]]


async def test_merged_rows_have_results_of_their_own() -> None:
    """Of the rows of one request, the last has what was sent and how long it took."""
    writing = Writing()
    merged = replaced(row(5, "a", title="T"), merged=(row(2, "a"), row(3, "a")))
    sent = replaced(
        result(5), id="a", ms=12.3, attempts=2, sent={"title": "T"}, task={"_id": "a"},
        mismatches={"title": Mismatch(sent="T", returned="t")},
    )  # fmt: skip
    await writing.writer.write(merged, sent)
    await writing.end()
    second, third, last = writing.recorder.settled
    for number, earlier in ((2, second), (3, third)):
        expected = replaced(
            sent, row=number, ms=None, attempts=0, sent=None, task=None, mismatches=None,
            sent_with=5,
        )  # fmt: skip
        assert earlier == expected
    assert last == replaced(sent, merged=(2, 3))


async def test_result_of_a_lone_row_is_written_unchanged() -> None:
    """A row that was sent alone is written with all that its result holds."""
    writing = Writing()
    alone = replaced(result(1), ms=0.7, task={"_id": "opp_1"})
    await writing.writer.write(row(1), alone)
    await writing.end()
    assert writing.recorder.settled == [alone]


async def test_merged_rows_conflict_together() -> None:
    """The rows of a merged update that conflicts have the same outcome and reason."""
    writing = Writing()
    merged = replaced(row(5, "a", title="T"), merged=(row(2, "a"), row(3, "a")))
    conflict = unsent(merged, Outcome.CONFLICT, ErrorInfo("not_listed", "the task is not listed"))
    await writing.writer.write(merged, conflict)
    await writing.end()
    settled = writing.recorder.settled
    assert [(one.row, one.outcome, one.sent) for one in settled] == [
        (number, Outcome.CONFLICT, None) for number in (2, 3, 5)
    ]
    assert {one.error for one in settled} == {conflict.error}
    assert not writing.stop.is_set
