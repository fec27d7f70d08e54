"""What a person and a program see of the accounts of a run while it goes on."""

import asyncio
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from rich.console import Console

from bulkupdate.journal import Mode
from bulkupdate.models import Outcome, Reason, Traffic
from bulkupdate.sandbox import Fault
from bulkupdate.session.observer import Observer, Observers
from bulkupdate.session.progress import AccountProgress, Progress
from bulkupdate.ui import live, messages
from bulkupdate.ui.lines import JsonProgress, TextProgress
from bulkupdate.ui.standing import SHOWN_ACCOUNTS, Sampled, Standing, standing_of
from tests.support.clock import run_virtual
from tests.support.many import NAMES, ManyBench, edits_of
from tests.support.terminal import terminal
from tests.ui.test_lines import progress

Write = Callable[..., Path]
REFUSED = "the key is refused: unauthorized: 401 Unauthorized"


def account(name: str, done: int = 100, rows: int = 200, **changes: Any) -> AccountProgress:
    """An account with so many of its rows updated."""
    counts: dict[str, int] = {
        **dict.fromkeys([*Outcome], 0),
        "updated": done,
        "unprocessed": rows - done,
    }
    values: dict[str, Any] = {
        "traffic": Traffic(), "used_rate": 9.8, "allowed_rate": 10.0, "paused": 0.0,
        "waiting_for": None, "reason": None, "stopped_by": None, "has_ended": done == rows,
    }  # fmt: skip
    return AccountProgress(name, rows, counts, **{**values, **changes})


def standing(*accounts: AccountProgress) -> Standing:
    """How these accounts stand."""
    found = standing_of(accounts)
    assert found is not None
    return found


def test_stopped_accounts_come_before_waiting_and_slow_ones() -> None:
    """Of the others, the one with the smallest share of its rows comes first; none is done."""
    found = standing(
        account("a", 200),
        account("b", 90),
        account("c", 150, 1000),
        account("d", 199, waiting_for="rate limited"),
        account("e", 199, reason=REFUSED, stopped_by=Reason.KEY_REFUSED),
    )
    assert [one.name for one in found.shown] == ["e", "d", "c", "b"]
    assert (found.running, found.done, found.stopped) == (3, 1, 1)


def test_at_most_five_accounts_are_shown() -> None:
    """The rest is a number."""
    found = standing(*(account(f"a{n:03}", n) for n in range(150)))
    assert [one.name for one in found.shown] == [f"a{n:03}" for n in range(SHOWN_ACCOUNTS)]
    assert (found.total, found.rest) == (150, "and 145 more accounts")
    assert standing(*(account(f"{n}") for n in range(6))).rest == "and 1 more account"
    assert standing(account("a")).rest == ""


def test_one_line_tells_how_the_accounts_stand() -> None:
    """Its numbers, and each that wants a look with how far it is and why."""
    found = standing(
        account("globex", 120, reason=REFUSED), account("acme", 200),
        account("initech", 1_000, 2_000, waiting_for="server down for 12 s"),
        account("hooli", 190, allowed_rate=None),
    )  # fmt: skip
    assert messages.standing_line(found) == (
        "4 accounts: 2 running, 1 done, 1 stopped; globex 120 of 200, stopped: the key is refused:"
        " unauthorized: 401 Unauthorized; initech 1,000 of 2,000, waiting: server down for 12 s;"
        " hooli 190 of 200, 9.8 requests/s; and 1 more account"
    )
    assert messages.standing_line(standing(account("a", 200))) == "1 account: 1 done"


def test_accounts_are_looked_at_once_a_second() -> None:
    """However often the display is drawn, since a look at 500 accounts is not free."""
    looks = []

    class Looked:
        @property
        def accounts(self) -> list[AccountProgress]:
            looks.append(1)
            return [account("a", len(looks))]

    now = [100.0]
    sampled = Sampled(Looked(), lambda: now[0])  # type: ignore[arg-type]
    for _ in range(13):
        found = sampled()
        assert found is not None
        assert found.shown[0].done == len(looks)
        now[0] += 0.25
    assert len(looks) == 4


# --- while a run goes on ------------------------------------------------------------------


class _Looking(Observer):
    """Waits until an account has stopped, and then lets observers of lines write once.

    Args:
        written: receives their lines.
    """

    def __init__(self, written: list[str]) -> None:
        self._written = written

    async def watch(self, progress: Progress) -> None:
        while not any(one.reason for one in progress.accounts):
            await asyncio.sleep(0.001)
        both = [kind(self._written.append, 0.001) for kind in (TextProgress, JsonProgress)]
        watching = asyncio.create_task(Observers(both).watch(progress))
        while len(self._written) < 3:
            await asyncio.sleep(0.001)
        watching.cancel()
        await asyncio.wait([watching])


async def test_lines_of_a_run_tell_of_its_accounts(write: Write) -> None:
    """Text has one more line; the event has the numbers, and the accounts that want a look."""
    written: list[str] = []
    async with ManyBench(latency=(5, 5)) as bench:
        bench.account("globex").refused = True
        await bench.run(write("edits.csv", "account,id,title", *edits_of(NAMES, 60)),
                        _Looking(written))  # fmt: skip
    _, text = [line for line in written if not line.startswith("{")][:2]
    event = json.loads(next(line for line in written if line.startswith("{")))
    assert text.startswith("3 accounts: 2 running, 1 stopped; globex 0 of 60, stopped: the key is")
    assert [event["accounts"][name] for name in ("running", "done", "stopped")] == [2, 0, 1]
    first, *others = event["accounts"]["shown"]
    assert (first["account"], first["rows"], first["done"]) == ("globex", 60, 0)
    assert first["stopped_by"] == "key_refused"
    assert {one["account"] for one in others} == {"acme", "initech"}


class _First(Observer):
    """Keeps how the accounts stand when the first rows are sent."""

    async def watch(self, progress: Progress) -> None:
        self.found = standing(*progress.accounts)


async def test_account_that_tries_rows_again_is_not_done(write: Write) -> None:
    """With `retry_failed`, all of its rows have an outcome, and it is running all the same."""
    path = write("edits.csv", "account,id,title", *edits_of(NAMES, 4))
    async with ManyBench(latency=(5, 5)) as bench:
        bench.account("globex").faults = {Fault.MALFORMED: 1.0}
        await bench.run(path)
        observer = _First()
        await bench.run(path, observer, mode=Mode.RESUME, retry_failed=True)
    found = observer.found
    assert [(one.name, one.done) for one in found.shown] == [("globex", 4)]
    assert (found.running, found.done, found.stopped) == (1, 2, 0)


def test_run_with_one_key_tells_of_no_account() -> None:
    """Its lines and events are as without accounts."""

    async def main() -> tuple[list[str], dict[str, object]]:
        lines = [*TextProgress(lambda _: None)._progress_lines(progress())]
        return lines, messages.progress_event(progress())

    lines, event = run_virtual(main())
    assert len(lines) == 1
    assert "accounts" not in event


# --- the display --------------------------------------------------------------------------


def picture(width: int, found: Standing) -> list[str]:
    """The lines of the display from the accounts on."""

    async def main() -> str:
        file = mock.Mock(wraps=io.StringIO(), encoding="utf-8")
        console = Console(file=file, width=width, force_terminal=False, color_system=None)
        with console.capture() as captured:
            console.print(live.picture(progress(), console, found))
        return captured.get()

    lines = [line.rstrip() for line in run_virtual(main()).splitlines()]
    first = next(number for number, line in enumerate(lines) if " accounts: " in line)
    return lines[first:]


def test_display_has_a_line_for_each_account_that_wants_a_look() -> None:
    """The lines are aligned, and stand below the sum."""
    found = standing(
        account("globex", 120, reason="the key is refused"),
        account("acme", 5), account("Acme, Paris", 1_200, 9_000, waiting_for="rate limited"),
        *(account(f"z{n}", 199) for n in range(14)),
    )  # fmt: skip
    assert picture(80, found) == [
        "17 accounts: 16 running, 1 stopped",
        "  globex           120 of 200  stopped: the key is refused",
        "  Acme, Paris  1,200 of 9,000  waiting: rate limited",
        "  acme               5 of 200  9.8 of 10.0 requests/s",
        "  z0               199 of 200  9.8 of 10.0 requests/s",
        "  z1               199 of 200  9.8 of 10.0 requests/s",
        "  and 12 more accounts",
    ]


@pytest.mark.parametrize("width", [30, 40, 80])
def test_long_names_and_reasons_are_cut_to_the_width(width: int) -> None:
    """How far an account is stays readable, with names of wide characters too."""
    found = standing(
        account("日本語の長い名前の会社" * 5, 120, reason=REFUSED * 5),
        account("a" * 200, 5, waiting_for="rate limited: continuing in 90 s" * 5),
    )
    lines = picture(width, found)
    shown = [line for line in lines if " of 200" in line]
    assert [line.count("…") for line in shown] == [2, 2]
    assert all(len(line) <= width for line in shown)
    assert "120 of 200" in shown[0]


def test_names_of_accounts_never_control_the_terminal() -> None:
    """A reason may hold text of the server: it is shown with its control characters escaped."""
    text = "\n".join(picture(200, standing(account("[b]a", reason="\x1b[2J[red]"), account("b"))))
    assert "\x1b" not in text
    assert "[b]a" in text
    assert "\\u001b[2J[red]" in text


@pytest.mark.slow
def test_terminal_shows_the_accounts_of_a_run() -> None:
    """With the real command: the account that is furthest behind comes first."""
    keys = (f'[{name}]\napi_key_env = "KEY_{name}"\n' for name in NAMES)
    Path("accounts.toml").write_text("".join(keys))
    rows = [f"{name},opp_{n},x\n" for name in NAMES for n in range(1, 41)]
    rows += [f"initech,opp_more{n},x\n" for n in range(40)]
    Path("edits.csv").write_text("account,id,title\n" + "".join(rows))
    arguments = ("run", "edits.csv", "--accounts", "accounts.toml", "--sandbox")
    with terminal(*arguments, columns=80, variables={}) as screen:
        text = screen.wait_for(lambda text: re.search(r"running\n  initech .* requests/s", text))
        screen.process.terminate()
        screen.finish()
    assert " of 160 rows" in text
    lines = text[text.rindex("3 accounts: ") :].splitlines()[1:4]
    assert lines[0].startswith("  initech")
    assert all(" requests/s" in line for line in lines)
    assert "3 accounts: 3 running" not in screen.text
