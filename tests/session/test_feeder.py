"""The way from the input to the backlog."""

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.engine.backlog import Backlog
from bulkupdate.journal import Ledger
from bulkupdate.models import Outcome, Reason, Result, Row
from bulkupdate.plan import RowSet
from bulkupdate.reader import Input
from bulkupdate.session.feeder import Feeder
from bulkupdate.session.merger import Merger
from bulkupdate.session.remaining import Remaining
from bulkupdate.session.writer import Writer
from bulkupdate.stop import Stop
from tests.support.fakes import SetAfter

Write = Callable[..., Path]


class FakeWriter(Writer):
    """Keeps what needs no request."""

    def __init__(self) -> None:
        self.settled: list[tuple[int, Outcome]] = []

    async def put(self, row: Row, result: Result) -> None:
        self.settled.append((row.number, result.outcome))

    async def write(self, row: Row, result: Result) -> None:
        await self.put(row, result)


class Feeding:
    """A feeder of an input, and all that it hands out.

    Args:
        source: the input.
        settled: numbers of rows that an earlier session has updated.
        options: further arguments of the feeder.
    """

    def __init__(self, source: Input, settled: Iterator[int] | range, **options: Any) -> None:
        ledger = Ledger()
        ledger.record(
            *(
                Result(row=n, id=f"opp_{n}", outcome=Outcome.UPDATED, attempts=1, at="")
                for n in settled
            )
        )
        self.stop = Stop()
        self.writer = FakeWriter()
        remaining = Remaining(ledger, retry_failed=False)
        self.feeder = Feeder(source, remaining, self.writer, self.stop, **options)
        self.turns = 0

    async def feed(self, *, send: bool = True) -> list[int]:
        """The numbers of the rows that are handed out to be sent."""
        backlog = Backlog(10_000)
        turning = asyncio.create_task(self._turn())
        await self.feeder.feed(backlog, send=send)
        turning.cancel()
        handed = []
        while (row := await backlog.get()) is not None:
            handed.append(row.number)
            backlog.done(row)
        return handed

    async def _turn(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


@contextmanager
def feeding(
    path: Path, settled: Iterator[int] | range = range(0), **options: Any
) -> Iterator[Feeding]:
    with Input.open(path) as source:
        yield Feeding(source, settled, **options)


@pytest.fixture
def path(write: Write) -> Path:
    return write("a.csv", "id,title", *(f"opp_{number},T" for number in range(1, 6401)))


async def test_other_tasks_run_while_settled_rows_are_passed(path: Path) -> None:
    """Rows that are settled already are passed in small steps, so that nothing else waits."""
    with feeding(path, range(2, 6400), rows=6400) as run:
        assert await run.feed() == [1, 6400]
        assert run.turns >= 100
        assert run.feeder.has_ended


async def test_other_tasks_run_while_rows_are_skipped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settled rows at the beginning are skipped in a thread of their own."""
    places: list[threading.Thread] = []
    read = Input.rows

    def rows(source: Input, after: int = 0) -> Generator[Row]:
        places.append(threading.current_thread())
        yield from read(source, after)

    monkeypatch.setattr(Input, "rows", rows)
    with feeding(path, range(1, 6400), rows=6400) as run:
        assert await run.feed() == [6400]
    assert places != [threading.main_thread()]
    assert len(places) == 1


async def test_finished_input_is_not_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input whose rows are all settled is not opened again."""
    with feeding(path, range(1, 6401), rows=6400) as run:
        monkeypatch.setattr(Input, "rows", None)
        assert await run.feed() == []
        assert run.feeder.has_ended


async def test_rows_that_are_held_to_the_end_are_handed_out(write: Write, tmp_path: Path) -> None:
    """Rows that wait for a later row of their task go out at the end, unless enough were sent."""
    path = write("a.csv", "id,title", "opp_1,a", "opp_2,b", "opp_3,c")
    for first, handed in ((None, [1, 2, 3]), (2, [1, 3])):
        followed = RowSet(3)
        followed.add(1)
        followed.add(2)
        merger = Merger(followed, tmp_path / f"scratch{first}")
        with feeding(path, range(0), first=first, merger=merger) as run:
            assert await run.feed() == handed
            assert run.feeder.has_ended == (first is None)
        merger.close()


async def test_only_the_first_rows_are_handed_out(path: Path) -> None:
    """With a number of rows to send, the rest stays, and the input has not ended."""
    with feeding(path, range(2, 4), first=3) as run:
        assert await run.feed() == [1, 4, 5]
        assert (run.feeder.sent, run.feeder.has_ended) == (3, False)


async def test_rows_without_request_go_to_the_writer(write: Write) -> None:
    """A row without a field to change, and an invalid row, go to the writer alone."""
    path = write("a.csv", "id,title,done", "a,T,", "b,,", "c,,maybe", "d,,yes")
    with feeding(path) as run:
        assert await run.feed() == [1, 4]
        assert run.writer.settled == [(2, Outcome.UNCHANGED), (3, Outcome.INVALID)]
    with feeding(path) as run:
        assert await run.feed(send=False) == []
        assert run.writer.settled == [(3, Outcome.INVALID)]


async def test_invalid_row_that_was_valid_stops_the_run(write: Write) -> None:
    """A row that is invalid although the check found none stops the run, and is not sent."""
    path = write("a.csv", "id,title,done", "a,T,", "b,,maybe", "c,T,")
    with feeding(path, may_be_invalid=False) as run:
        assert await run.feed() == [1]
        assert run.stop.reason is Reason.INPUT_CHANGED
        assert "row 2 is not the one that was checked: " in (run.stop.text or "")
        assert (run.feeder.is_otherwise, run.feeder.has_ended) == (True, False)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (6399, "row 6400 is not the one that was checked: the check found no more rows"),
        (6401, "has 6,400 rows, and had 6,401 when it was checked"),
    ],
)
async def test_row_too_many_or_too_few_stops_the_run(path: Path, rows: int, says: str) -> None:
    """An input with other rows than the check found stops the run."""
    with feeding(path, rows=rows) as run:
        await run.feed()
        assert says in (run.stop.text or "")
        assert run.feeder.is_otherwise
    with feeding(path, rows=6400) as run:
        await run.feed()
        assert (run.stop.text, run.feeder.is_otherwise) == (None, False)


async def test_no_row_of_a_changed_input_is_handed_out(path: Path) -> None:
    """A file that another program writes to stops the run before its rows are sent."""
    with feeding(path) as run:
        with path.open("a") as edits:
            edits.write("opp_6401,T\n")
        assert await run.feed() == []
        assert "was written to while it was being sent" in (run.stop.text or "")
        assert not run.feeder.is_otherwise


def its_own(row: Row) -> bool:
    """Whether a row has the id that belongs to its number."""
    return row.id == f"opp_{row.number}"


async def test_wrong_place_of_an_earlier_session_is_not_used(path: Path) -> None:
    """A position that leads to another row than the one that was checked is not relied on."""
    with Input.open(path) as source:
        source.places = [(100, 202)]  # Row 101 begins on line 102.
        run = Feeding(source, range(1, 101), rows=6400, is_known=its_own)
        assert len(await run.feed()) == 6300
        assert source.places == []


async def test_right_place_of_an_earlier_session_is_used(path: Path) -> None:
    """A position that leads to the row that was checked is where the reading begins."""
    with Input.open(path) as source:
        source.places = [(100, 102)]
        run = Feeding(source, range(1, 101), rows=6400, is_known=its_own)
        assert len(await run.feed()) == 6300
        assert source.places == [(100, 102)]


async def test_stop_while_rows_are_skipped_keeps_its_reason(path: Path) -> None:
    """A stop that ends the skipping of rows is no error of the input."""
    with Input.open(path) as source:
        source._stop = SetAfter(0)
        run = Feeding(source, range(1, 6400))
        assert await run.feed() == []
        assert (run.stop.is_set, run.feeder.has_ended) == (False, False)
