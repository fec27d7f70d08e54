"""The question before a run completes tasks or empties fields."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import ConfigError, DeclinedError, RunDirectoryError, RunStoppedError
from bulkupdate.journal.directory import Mode
from bulkupdate.journal.summary import Summary
from bulkupdate.models import Reason
from bulkupdate.plan import Checking, Preview
from bulkupdate.reader import Input
from bulkupdate.session.observer import Observer
from bulkupdate.session.run import run
from bulkupdate.stop import Stop
from tests.support.bench import Bench, StopsAfter

Write = Callable[..., Path]

HEADER = "id,title,message,done"
ROWS = ["opp_1,a,,yes", "opp_2,b,<clear>,", "opp_3,c,,no", "opp_4,d,<clear>,yes"]


class Asked:
    """An answer to the question, and what was asked."""

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.previews: list[Preview] = []

    async def __call__(self, preview: Preview) -> bool:
        self.previews.append(preview)
        return self.answer

    async def run(self, bench: Bench, path: Path, **settings: Any) -> Summary:
        return await run(bench.config(path, **settings), confirm=self)


class Order(Observer):
    """An observer that remembers the order of what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def watch_check(self, _: Checking) -> None:
        self.told.append("check")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.told.append("checked")

    def input_checked(self, _: Input, __: Preview) -> None:
        self.told.append("preview")

    async def confirm(self, _: Preview) -> bool:
        self.told.append("question")
        return True


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


async def test_run_that_completes_or_clears_asks_once(write: Write) -> None:
    """The question has the numbers of the whole input, and a yes sends every row."""
    asked = Asked()
    async with Bench() as bench:
        summary = await asked.run(bench, write("edits.csv", HEADER, *ROWS))
    [preview] = asked.previews
    assert (preview.completes, preview.clears, preview.completes_or_clears) == (
        2, {"message": 2}, 3,
    )  # fmt: skip
    assert (summary.exit_code, summary.counts["updated"]) == (0, 4)


@pytest.mark.parametrize(
    "settings",
    [{"compare": True}, {"merge_duplicates": True}, {"skip_invalid": True}, {"first": 1}],
    ids=lambda one: next(iter(one)),
)
async def test_each_kind_of_run_asks_before_any_request(
    write: Write, settings: dict[str, Any]
) -> None:
    """However a run sends, a no leaves no run directory, and no request has gone out."""
    bad = ["opp_5,e,,maybe"] if "skip_invalid" in settings else []
    path, asked = write("edits.csv", HEADER, *ROWS, *bad), Asked(answer=False)
    async with Bench() as bench:
        with pytest.raises(DeclinedError, match=r"edits\.csv: not confirmed: nothing was sent"):
            await asked.run(bench, path, **settings)
        assert (bench.seen, bench.asked) == ([], [])
    assert len(asked.previews) == 1
    assert not Path("edits.run").exists()


async def test_run_that_only_sets_values_asks_nothing(write: Write) -> None:
    """Values, and a task that is opened again, need no answer."""
    asked = Asked(answer=False)
    async with Bench() as bench:
        await asked.run(bench, write("edits.csv", HEADER, "opp_1,a,b,", "opp_2,,,no"))
    assert asked.previews == []


async def test_program_without_a_question_is_asked_nothing(write: Write) -> None:
    """From Python, a run sends what completes and clears without a question."""
    async with Bench() as bench:
        summary = await bench.run(write("edits.csv", HEADER, *ROWS))
    assert summary.counts["updated"] == 4


async def test_refused_file_is_asked_about_only_once_it_is_sent(write: Write) -> None:
    """A file with an invalid row sends nothing, so the question comes with `skip_invalid`."""
    path, asked = write("edits.csv", HEADER, *ROWS, "opp_5,e,,maybe"), Asked()
    async with Bench() as bench:
        refused = await asked.run(bench, path)
        assert (refused.exit_code, asked.previews) == (2, [])
        await asked.run(bench, path, mode=Mode.RESUME, skip_invalid=True)
    assert len(asked.previews) == 1


async def test_resumed_run_is_not_asked_again(write: Write) -> None:
    """The answer counts for the whole run, also where the check of the input was lost."""
    path, asked = write("edits.csv", HEADER, *ROWS), Asked()
    async with Bench() as bench:
        await asked.run(bench, path, first=1, workers=1)
        await asked.run(bench, path, mode=Mode.RESUME, changed_input=True, first=1, workers=1)
        Path("edits.run/check.json").unlink()
        await asked.run(bench, path, mode=Mode.RESUME, changed_input=True)
        assert len(bench.seen) == 4
    assert len(asked.previews) == 1


async def test_declined_change_leaves_the_run_as_it_was(write: Write) -> None:
    """An edited input is asked about; after a no, each file of the run is as before."""
    asked = Asked()
    async with Bench() as bench:
        await asked.run(bench, write("edits.csv", HEADER, *ROWS), first=1, workers=1)
        before, sent = content(Path("edits.run")), len(bench.seen)
        path = write("edits.csv", HEADER, *ROWS, "opp_5,e,<clear>,")
        with pytest.raises(RunDirectoryError, match="1 row added"):
            await asked.run(bench, path, mode=Mode.RESUME)
        assert len(asked.previews) == 1
        asked.answer = False
        with pytest.raises(DeclinedError):
            await asked.run(bench, path, mode=Mode.RESUME, changed_input=True)
        assert (content(Path("edits.run")), len(bench.seen)) == (before, sent)
        asked.answer = True
        summary = await asked.run(bench, path, mode=Mode.RESUME, changed_input=True)
    assert [preview.completes_or_clears for preview in asked.previews] == [3, 4, 4]
    assert summary.counts["updated"] == 5


async def test_change_that_was_refused_is_asked_about_later(write: Write) -> None:
    """An edited input with an invalid row asks when its valid rows are sent."""
    asked = Asked()
    async with Bench() as bench:
        await asked.run(bench, write("edits.csv", HEADER, *ROWS), first=1, workers=1)
        path = write("edits.csv", HEADER, *ROWS, "opp_5,e,,yes", "opp_6,f,,maybe")
        refused = await asked.run(bench, path, mode=Mode.RESUME, changed_input=True)
        assert (refused.stopped_by, len(asked.previews)) == (Reason.INVALID_ROWS, 1)
        asked.answer = False
        with pytest.raises(DeclinedError):
            await asked.run(bench, path, mode=Mode.RESUME, skip_invalid=True)


async def test_declined_overwriting_removes_nothing(write: Write) -> None:
    """A run that is to be overwritten is still there after a no."""
    path, asked = write("edits.csv", HEADER, *ROWS), Asked()
    async with Bench() as bench:
        await asked.run(bench, path)
        before, asked.answer = content(Path("edits.run")), False
        with pytest.raises(DeclinedError):
            await asked.run(bench, path, mode=Mode.OVERWRITE)
        assert content(Path("edits.run")) == before
        own = Path("edits.run/failed.csv")
        own.write_text("\n".join([HEADER, *ROWS]) + "\n")
        with pytest.raises(ConfigError, match="would empty"):
            await asked.run(bench, own, out="edits.run", mode=Mode.OVERWRITE)
    assert len(asked.previews) == 2


async def test_preview_is_shown_once_and_before_the_question(write: Write) -> None:
    """The display of the check ends, then comes the preview, and then the question."""
    order = Order()
    async with Bench() as bench:
        path = write("edits.csv", HEADER, *ROWS)
        await run(bench.config(path), observer=order, confirm=order.confirm)
    assert order.told == ["check", "checked", "preview", "question"]


async def test_stop_ends_the_wait_for_an_answer(write: Write) -> None:
    """A stop while the question is open ends the run, and nothing was sent or written."""
    stop = Stop()

    async def confirm(_: Preview) -> bool:
        asyncio.get_running_loop().call_soon(stop.set, "interrupted by SIGTERM", Reason.SIGNAL)
        await asyncio.get_running_loop().create_future()
        return True

    async with Bench() as bench:
        config = bench.config(write("edits.csv", HEADER, *ROWS))
        with pytest.raises(RunStoppedError, match="interrupted by SIGTERM: nothing was sent"):
            await run(config, stop=stop, confirm=confirm)
        assert bench.seen == []
    assert not Path("edits.run").exists()


async def test_stop_wins_over_an_answer_of_the_same_moment(write: Write) -> None:
    """A run that was stopped before its answer counts sends nothing."""
    stop = Stop()

    async def confirm(_: Preview) -> bool:
        stop.set("the deadline is near", Reason.DEADLINE)
        return True

    async with Bench() as bench:
        config = bench.config(write("edits.csv", HEADER, *ROWS))
        with pytest.raises(RunStoppedError, match="the deadline is near: nothing was sent"):
            await run(config, stop=stop, confirm=confirm)
    assert not Path("edits.run").exists()


async def test_interrupted_run_is_resumed_without_a_question(write: Write) -> None:
    """A run whose session ended in the middle is resumed without a question."""
    path, asked = write("edits.csv", HEADER, *ROWS), Asked()
    soon = StopsAfter(1)
    async with Bench(latency=(5, 5)) as bench:
        config = bench.config(path, workers=1)
        await run(config, stop=soon.stop, observer=soon, confirm=asked)
        assert json.loads(Path("edits.run/summary.json").read_text())["state"] == "interrupted"
        summary = await asked.run(bench, path, mode=Mode.RESUME)
    assert (summary.exit_code, len(asked.previews)) == (0, 1)
