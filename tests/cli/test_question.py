"""The question that a person at a terminal has to answer before tasks are completed or cleared."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.cli.question import number_in, question
from bulkupdate.cli.screen import Screen
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.plan import Inspection
from bulkupdate.session.settings import RunConfig
from bulkupdate.ui import messages
from tests.support.commands import Serving, all_updated, bulkupdate, serving, summary_in
from tests.support.fakes import row
from tests.support.terminal import Terminal, terminal

Write = Callable[..., Path]

#: Three of these rows complete or clear.
ROWS = ["opp_1,a,,yes", "opp_2,b,<clear>,", "opp_3,c,,no", "opp_4,d,<clear>,yes"]

WHAT = "type 3 to go on; anything else sends nothing"


@pytest.fixture
def sandbox(write: Write) -> Iterator[Serving]:
    write("edits.csv", "id,title,message,done", *ROWS)
    with serving("--unknown-id", "create", "--rate", "none") as started:
        yield started


@contextlib.contextmanager
def asked(sandbox: Serving, *flags: str, **variables: str) -> Iterator[Terminal]:
    """A run on a terminal whose question is shown."""
    arguments = ("run", "edits.csv", "--rate", "none", *flags)
    with terminal(*arguments, columns=100, variables={**sandbox.environment, **variables}) as one:
        one.wait_for(lambda text: WHAT in text)
        yield one


def config(**settings: Any) -> RunConfig:
    endpoint = Endpoint(api_key=ApiKey("k"))
    return RunConfig(**{"input": "edits.csv", "endpoint": endpoint, **settings})


def test_number_is_read_with_separators_of_thousands() -> None:
    """A number may be written as people write it; what only looks like one is none."""
    for text in ("1200", " 1200\n", "1,200", "1 200", "1.200", "1'200", "1’200", "1\u202f200"):
        assert number_in(text) == 1200
    assert number_in("1,234,567") == 1_234_567
    for text in (
        "",
        "\n",
        "yes",
        "-1",
        "+1",
        "1,20",
        "12,00",
        "1,234 567",
        "1.5",
        "1e3",
        "١٢",
        "1 2",
    ):
        assert number_in(text) is None


def test_question_says_what_can_be_undone() -> None:
    """It counts completed tasks and cleared fields, and says which of them can be taken back."""
    inspection = Inspection()
    inspection.add(
        [
            *(row(n, f"opp_{n}", done=True) for n in range(1, 1201)),
            row(1201, title="", images=[]),
            row(1202, title="x"),
        ]
    )
    preview = inspection.preview(None)
    assert [*messages.question_lines(preview, config())] == [
        "rows that complete a task or empty a field: 1,201 of 1,202",
        "  complete: 1,200, which can't be undone",
        "  empty: title 1, which can't be undone without compare",
        "  empty: images 1, which can't be undone",
        "type 1,201 to go on; anything else sends nothing",
    ]
    compared = [*messages.question_lines(preview, config(compare=True))]
    undo = "which only bulkupdate undo edits.run takes back"
    assert compared[2:4] == [
        f"  empty: title 1, {undo} while the task is pending",
        "  empty: images 1, which can't be undone",
    ]
    cleared = Inspection()
    cleared.add([row(1, title="")])
    clearing = [*messages.question_lines(cleared.preview(None), config(compare=True))]
    assert clearing[1:2] == [f"  empty: title 1, {undo}"]


@pytest.mark.parametrize(
    ("settings", "is_answered", "stdin", "stderr", "asks"),
    [
        ({}, False, True, True, True),
        ({"compare": True}, False, True, True, True),
        ({}, True, True, True, False),
        ({}, False, False, True, False),
        ({}, False, True, False, False),
        ({}, False, None, True, False),
        ({"sandbox": True}, False, True, True, False),
        ({"input": "-"}, False, True, True, False),
    ],
)
def test_only_a_person_at_a_terminal_is_asked(
    settings: dict[str, Any],
    is_answered: bool,
    stdin: bool | None,
    stderr: bool,
    asks: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stdin and stderr must be terminals; `--yes`, a sandbox and INPUT `-` need no answer."""

    class Stream:
        def __init__(self, is_terminal: bool) -> None:
            self.isatty = lambda: is_terminal

    monkeypatch.setattr(sys, "stdin", None if stdin is None else Stream(stdin))
    monkeypatch.setattr(sys, "stderr", Stream(stderr))
    found = question(Screen(), config(**settings), is_answered=is_answered)
    assert (found is not None) == asks


@pytest.mark.parametrize("name", ["BULKUPDATE_YES", "bulkupdate_yes"])
def test_variable_never_answers_the_question(name: str, write: Write) -> None:
    """A variable for `--yes` is refused, and its help names none."""
    write("edits.csv", "id,done", "opp_1,yes")
    done = bulkupdate("run", "edits.csv", "--sandbox", **{name: "1"})
    assert done.returncode == 2
    assert f"${name} sets no flag: --yes counts only where it is typed" in done.stderr
    assert not Path("edits.run").exists()
    other = bulkupdate("check", "edits.csv", **{name: "1"})
    assert (other.returncode, "--yes counts only where it is typed" in other.stderr) == (2, True)
    said = " ".join(bulkupdate("run", "--help").stdout.split())
    assert "An environment variable can set each flag except --yes: $BULKUPDATE_OUT" in said


@pytest.mark.slow
def test_run_without_a_terminal_asks_nothing(sandbox: Serving) -> None:
    """A job without a terminal completes and clears without `--yes`."""
    done = bulkupdate("run", "edits.csv", **sandbox.environment)
    assert (done.returncode, "to go on" in done.stderr) == (0, False)
    assert summary_in()["counts"]["updated"] == 4


@pytest.mark.slow
@pytest.mark.usefixtures("either_loop")
def test_typed_number_of_rows_sends_them(sandbox: Serving) -> None:
    """The question follows the preview; the number sends the rows, and `--resume` never asks."""
    with asked(sandbox, "--first", "1") as screen:
        asks = "rows that complete a task or empty a field: 3 of 4"
        preview, _, what = screen.text.partition(asks)
        assert "CLEARS: message 2" in preview
        assert "complete: 2, which can't be undone" in what
        assert "empty: message 2, which can't be undone without --compare" in what
        assert sandbox.process.poll() is None
        screen.type("3\n")
        text = screen.wait_for(lambda text: "continue with: " in text)
        assert text.count("CLEARS: message 2") == 1
        assert screen.finish() == 0
    flags = ("run", "edits.csv", "--rate", "none", "--resume", "--changed-input")
    with terminal(*flags, columns=100, variables=sandbox.environment) as screen:
        assert screen.finish() == 0
        assert WHAT not in screen.text
    assert summary_in()["counts"]["updated"] == 4


@pytest.mark.slow
def test_anything_else_sends_nothing(sandbox: Serving) -> None:
    """Another number, Enter and Ctrl-D end the run with 2, and leave no directory."""
    for keys in ("4\n", "\n", "\x04", "3\x04\x04"):
        with asked(sandbox) as screen:
            screen.type(keys)
            text = screen.wait_for(lambda text: "not confirmed: nothing was sent" in text)
            assert screen.finish() == 2, text
        assert not Path("edits.run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("either_loop")
def test_signal_ends_the_question_with_its_code(sandbox: Serving) -> None:
    """A signal ends the wait for an answer at once, with its own exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with asked(sandbox) as screen:
            screen.process.send_signal(number)
            text = screen.wait_for(lambda text: "nothing was sent" in text)
            assert f"interrupted by {number.name}: nothing was sent" in text
            assert screen.finish(10) == 128 + number
        assert not Path("edits.run").exists()


@pytest.mark.slow
def test_quiet_or_json_run_asks_in_words(sandbox: Serving) -> None:
    """Neither `-q` nor a format for programs hides the question from the person."""
    for flags in (("-q", "--json"), ("--log-format", "json")):
        with asked(sandbox, *flags) as screen:
            assert "\n  complete: 2, which can't be undone\n" in screen.text
            screen.type("no\n")
            assert screen.finish() == 2


@pytest.mark.slow
def test_what_was_typed_before_the_question_is_no_answer(write: Write) -> None:
    """Keys that were pressed while the input was checked do not answer the question."""
    rows = [f"opp_{n},yes" for n in range(60_000)]
    write("edits.csv", "id,done", *rows)
    with serving("--unknown-id", "create") as server:
        flags = ("run", "edits.csv", "--base-url", server.url)
        with terminal(*flags, columns=100, variables=server.environment) as screen:
            screen.type("60000\n")
            screen.wait_for(lambda text: "type 60,000 to go on" in text)
            screen.type("no\n")
            screen.wait_for(lambda text: "not confirmed: nothing was sent" in text)
            assert screen.finish() == 2


@pytest.mark.slow
def test_typed_yes_answers_and_is_not_suggested_again(sandbox: Serving) -> None:
    """`--yes` sends without a question; the command that continues the run has no `--yes`."""
    flags = ("run", "edits.csv", "--yes", "--first", "1")
    with terminal(*flags, columns=100, variables=sandbox.environment) as screen:
        text = screen.wait_for(lambda text: "continue with: " in text)
        assert screen.finish() == 0
    assert "complete a task" not in text
    assert "--yes" not in text


@pytest.mark.slow
def test_run_on_a_sandbox_of_its_own_asks_nothing(sandbox: Serving) -> None:
    """With `--sandbox` no real task is touched, so a terminal gets no question."""
    flags = ("run", "edits.csv", "--sandbox", "--rate", "none")
    with terminal(*flags, columns=100, variables=sandbox.environment) as screen:
        text = screen.wait_for(lambda text: all_updated(text, 4))
        assert screen.finish() == 0
    assert WHAT not in text
