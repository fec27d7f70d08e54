"""What earlier sessions have written, from the images and the log."""

from pathlib import Path

import pytest

from bulkupdate.journal import RunFiles, Settlement, read_steps
from bulkupdate.plan import LiveTasks
from bulkupdate.session.recall import recall
from bulkupdate.stop import Stop
from tests.support.overwriting import Overwriting


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Overwriting:
    """A run whose files are written by hand."""
    monkeypatch.chdir(tmp_path)
    return Overwriting()


def written(run: Overwriting) -> list[object]:
    """The values of the title that the run has left, with the one before."""
    live = LiveTasks(Path("live"))
    try:
        recall(RunFiles(run.save()), {"": live}, Stop())
        return live.find("opp_1").written["title"].chain
    finally:
        live.close()


def test_next_row_of_the_same_millisecond_is_the_newer_one(run: Overwriting) -> None:
    """The next row of a task may begin in the millisecond in which its row before was settled."""
    run.write(1, "opp_1", {"title": "Old"}, {"title": "A"})
    run.image(2, "opp_1", {}, {"title": "New"})
    run.images[-1]["at"] = run.results[-1]["at"]
    assert written(run) == ["Old", "A", "New"]
    steps = read_steps(RunFiles(run.path), Settlement)
    assert [(step.row, isinstance(step, Settlement)) for step in steps] == [
        (1, False),
        (1, True),
        (2, False),
    ]


def test_request_without_an_outcome_may_have_left_a_trimmed_text(run: Overwriting) -> None:
    """A session that was killed has seen no answer, and a server may trim texts."""
    run.image(1, "opp_1", {"title": "Old"}, {"title": " New "})
    assert written(run) == ["Old", "New", " New "]


def test_answer_tells_what_a_request_has_left(run: Overwriting) -> None:
    """Where the server has shown the text with its blanks, one without them is of another hand."""
    run.write(1, "opp_1", {"title": "Old"}, {"title": " New "})
    assert written(run) == ["Old", " New "]
