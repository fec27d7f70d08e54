"""What a person watches on a terminal."""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console

from bulkupdate.models import ErrorInfo, Outcome, Result, unsent
from bulkupdate.session.progress import Progress
from bulkupdate.ui import live, messages
from tests.support.clock import run_virtual
from tests.support.commands import Serving, serving
from tests.support.fakes import row
from tests.support.terminal import terminal
from tests.ui.test_lines import compared, progress

pytestmark = pytest.mark.slow


@pytest.fixture
def sandbox() -> Iterator[Serving]:
    """A team in which every thirtieth of our tasks is missing."""
    ids = [f"opp_{n:017}" for n in range(1, 601)]
    Path("edits.csv").write_text("id,title\n" + "".join(f"{one},x\n" for one in ids))
    there = (one for number, one in enumerate(ids, 1) if number % 30)
    Path("team.csv").write_text("id,title\n" + "".join(f"{one},x\n" for one in there))
    with serving("--tasks", "team.csv", "--rate", "none", "--latency", "20:30") as started:
        yield started


def picture(
    width: int,
    *,
    encoding: str = "utf-8",
    recent: Sequence[Result] = (),
    made: Callable[[], Progress] = progress,
) -> str:
    """A picture of a run as text, so many columns wide."""

    async def main() -> str:
        file = mock.Mock(wraps=io.StringIO(), encoding=encoding)
        console = Console(file=file, width=width, force_terminal=False, color_system=None)
        with console.capture() as captured:
            going = made()
            going.recent = recent
            console.print(live.picture(going, console))
        return captured.get()

    return run_virtual(main())


def test_eighty_columns_show_the_whole_progress(
    sandbox: Serving,
) -> None:
    """At 80 columns the screen shows bar, pace, outcomes and the last problems."""
    with terminal("run", "edits.csv", columns=80, variables=sandbox.environment) as screen:
        text = screen.wait_for(lambda text: "row 30 " in text)
        screen.process.terminate()
        screen.finish()
    for said in (
        "updating 127.0.0.1:",
        "of 600 rows · ",
        "requests/s · ",
        "left, until ",
        "updated · 1 failed",
        "row 30 opp_00000000000000030 failed: 404 not_found: Task not found",
    ):
        assert said in text
    # Gone in the end: what stays are lines.
    assert "━" in text
    assert "━" not in screen.text
    assert "continue with: bulkupdate run edits.csv --out edits.run --resume" in screen.text


def test_forty_columns_wrap_and_hide_ids(sandbox: Serving) -> None:
    """At 40 columns the lines break between parts and show no ids."""
    with terminal("run", "edits.csv", columns=40, variables=sandbox.environment) as screen:
        text = screen.wait_for(lambda text: "row 30 " in text)
    assert "row 30 failed: 404 not_found: Task not f" in text or "row 30 failed: 404 not_" in text
    assert " of 10.0 requests/s" in text
    assert all(len(line) <= 40 for line in text.splitlines())


def test_no_part_of_picture_is_split() -> None:
    """No part of the picture is split between two lines at any width."""
    for width in (30, 40, 80, 200):
        text = picture(width)
        assert "3 of 100 rows" in text
        assert "1 failed" in text
        assert "2 rate-limited (429)" in text
        assert "waiting: rate limited:" in text


def test_terminal_without_unicode_gets_ascii() -> None:
    """A terminal without Unicode gets only ASCII characters."""
    text = picture(80, encoding="latin-1")
    assert text.isascii()
    assert " | " in text


def test_servers_text_never_controls_the_terminal() -> None:
    """Text of the server is shown with its control characters escaped."""
    recent = Result(
        row=7,
        id="a\x1b[2J",
        outcome=Outcome.FAILED,
        status=400,
        attempts=1,
        at="",
        error=ErrorInfo("bad_request", "[bold]x[/bold]\x1b]0;title\x07"),
    )
    text = picture(120, recent=[recent])
    assert "\x1b" not in text
    assert "[bold]x[/bold]\\u001b]0;title\\u0007" in text


def test_conflicts_are_shown_with_their_reason() -> None:
    """The picture counts the conflicts, and shows why the last one was not sent."""
    error = ErrorInfo("changed_since", "title is X now", field="title", found="X")
    text = picture(100, made=compared, recent=[unsent(row(6), Outcome.CONFLICT, error)])
    assert "2 updated · 1 unchanged · 1 failed · 3 conflict" in text
    assert "row 6 opp_6 conflict: changed_since: title is X now" in text


def test_every_outcome_has_a_style_of_its_own() -> None:
    """No outcome is left out of the picture, and no two look alike."""
    assert set(live._STYLES) == set(Outcome)
    assert len(set(live._STYLES.values())) == len(Outcome)


def test_outcomes_are_coloured_unless_switched_off(sandbox: Serving) -> None:
    """The screen shows outcomes in colour unless NO_COLOR is set."""
    arguments = ("run", "edits.csv", "--first", "60", "--rate", "none", "--overwrite")
    with terminal(*arguments, variables=sandbox.environment) as screen:
        screen.finish()
        colours = {cell.fg for line in screen.screen.buffer.values() for cell in line.values()}
    with terminal(*arguments, variables={**sandbox.environment, "NO_COLOR": "1"}) as screen:
        screen.finish()
        plain = {cell.fg for line in screen.screen.buffer.values() for cell in line.values()}
    assert "brown" in colours
    assert plain == {"default"}


def test_dumb_terminal_gets_plain_lines(sandbox: Serving) -> None:
    """A dumb terminal gets plain lines, and a quiet run shows only its error."""
    arguments = ("run", "edits.csv", "--first", "60", "--rate", "none", "--overwrite")
    with terminal(*arguments, variables={**sandbox.environment, "TERM": "dumb"}) as screen:
        screen.finish()
        assert "600 rows" in screen.text
        assert "━" not in screen.text
    with terminal(*arguments, "-q", variables=sandbox.environment) as screen:
        screen.finish()
        assert screen.text == "error: stopped: the first 60 rows were sent (--first)"


def test_time_left_follows_the_last_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time left follows the last minute's pace, and is unknown during a long outage."""
    clock = [1000.0]
    monkeypatch.setattr("bulkupdate.session.progress.time.monotonic", lambda: clock[0])

    async def main() -> list[float | None]:
        going = progress()
        settled, told = going.ledger.settled, []
        # Ten rows in 5 s, two minutes of nothing, ten rows in 5 s again.
        for rows in (10, *[0] * 24, 10):
            clock[0] += 5
            for number in range(settled + 1, settled + rows + 1):
                done = Result(row=number, id="a", outcome=Outcome.UPDATED, attempts=1, at="")
                going.ledger.record(done)
            settled += rows
            going.sample()
            told.append(going.seconds_left)
        return told

    told = run_virtual(main())
    assert told[0] == pytest.approx(87 * 5 / 13)
    assert told[23] is None
    assert told[25] == pytest.approx(77 * 65 / 10)


def test_bar_ends_with_the_session(sandbox: Serving) -> None:
    """The bar is full where the session ends, also if it sends only the first rows."""
    with terminal("run", "edits.csv", "--first", "60", variables=sandbox.environment) as screen:
        screen.wait_for(lambda text: re.search(r"\n4\d of 600 rows", text) and "2 %" not in text)
        percent = re.search(r"(\d+) %", screen.text)
        screen.finish()
    assert percent
    assert int(percent[1]) > 60


@pytest.mark.parametrize(
    ("seconds", "said"), [(60, "14:01"), (10 * 3600, "Wed 00:00"), (3 * 86400, "Fri 14:00")]
)
def test_estimated_end_reads_like_a_clock(seconds: float, said: str) -> None:
    """The estimated end is shown as a clock will show it, with the day if it is another."""
    assert messages.clock_time(seconds, datetime(2026, 11, 24, 14, 0).astimezone()) == said


def test_ending_names_causes_and_next_steps(sandbox: Serving) -> None:
    """The end of a run shows why rows failed and which commands may come next."""
    with terminal(
        "run", "edits.csv", "--rate", "none", columns=160, variables=sandbox.environment
    ) as one:
        assert one.finish() == 1
        text = one.text
    assert "20 failed: 404 not_found: Task not found (row 30, 'opp_00000000000000030')" in text
    assert "once it is fixed: bulkupdate run edits.run/failed.csv --rate none\n" in text
    assert (
        "or, to try the same rows again: bulkupdate run edits.csv --rate none --out edits.run"
        " --resume"
        " --retry-failed" in text
    )
    problems = json.loads(Path("edits.run/summary.json").read_text())["problems"]
    assert problems == [
        {
            "outcome": "failed",
            "type": "not_found",
            "status": 404,
            "count": 20,
            "row": 30,
            "id": "opp_00000000000000030",
            "message": "Task not found",
        }
    ]


@pytest.mark.parametrize("command", ["check", "run"])
def test_long_check_is_shown_with_a_bar(command: str) -> None:
    """While a long file is checked, the screen shows how far it is, and then its result."""
    with Path("edits.csv").open("w") as file:
        file.write("id,title\n")
        file.writelines(f"opp_{n},please call about the offer\n" for n in range(1_000_000))
    options = ["--rate", "none"] if command == "check" else ["--sandbox", "--first", "1"]
    with terminal(command, "edits.csv", *options, columns=90, variables={}) as screen:
        seen = r"checking edits\.csv: [\d,]+ rows, \d+ %, about [\d.]+ s left\n.*\d+ %"
        screen.wait_for(lambda text: re.search(seen, text))
        result = screen.wait_for(lambda text: "1,000,000 rows, 1,000,000 tasks" in text, seconds=90)
        assert "checking" not in result
        screen.process.terminate()
        screen.finish()
