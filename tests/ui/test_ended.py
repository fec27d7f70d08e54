"""The end of a run with accounts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.journal import AccountSummary, read_summary
from bulkupdate.models import Outcome, Reason, State
from bulkupdate.ui import messages
from tests.support.bench import StopsAfter
from tests.support.commands import bulkupdate, serving
from tests.support.many import NAMES, ManyBench, edits_of
from tests.support.runs import run_directory

Write = Callable[..., Path]
HEADER = "account,id,title"


def part(updated: int, left: int = 0, reason: str | None = None, **more: Any) -> AccountSummary:
    """The part of an account with so many rows updated and left."""
    counts: dict[str, int] = {
        **dict.fromkeys([*Outcome], 0),
        "updated": updated,
        "unprocessed": left,
    }
    return AccountSummary(
        base_url="https://api.lemlist.com/api", rows=updated + left, counts=counts, reason=reason,
        stopped_by=Reason.KEY_REFUSED if reason else None, **more,
    )  # fmt: skip


def ending(directory: Path, accounts: dict[str, AccountSummary], **changes: Any) -> list[str]:
    """The lines at the end of a run with these accounts."""
    found = read_summary(run_directory(directory, [], accounts=accounts, **changes))
    return [*messages.summary_lines(found)]


async def test_end_names_each_account_that_stopped(write: Write) -> None:
    """With its reason and the rows that are left, and then all accounts in numbers."""
    async with ManyBench() as bench:
        bench.account("globex").refused = True
        summary = await bench.run(write("edits.csv", HEADER, *edits_of(NAMES, 4)))
    lines = [*messages.summary_lines(summary)]
    assert lines[0].startswith("12 rows: 8 updated, 4 unprocessed")
    stopped = lines.index("3 accounts: 2 finished, 1 stopped")
    assert lines[stopped - 1].startswith("  globex: the key is refused: ")
    assert lines[stopped - 1].endswith(" (4 rows left)")
    # The reason of the run would say it once more.
    assert not [line for line in lines if line.startswith("stopped: ")]


def test_stopped_account_whose_rows_were_tried_before_has_none_left(tmp_path: Path) -> None:
    """Nothing is said about rows that are left."""
    lines = ending(
        tmp_path / "a.run", {"a": part(1, 0, "why"), "b": part(3)}, exit_code=3,
        state=State.STOPPED, reason="1 account of 2", stopped_by=Reason.ACCOUNTS_STOPPED,
    )  # fmt: skip
    assert "  a: why" in lines


async def test_end_of_a_stopped_run_says_why(write: Write) -> None:
    """Where the run itself stopped, its reason is there, and no account has one."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 20))
    async with ManyBench(latency=(2, 2)) as bench:
        observer = StopsAfter(9)
        summary = await bench.run(path, observer, observer.stop)
    lines = [*messages.summary_lines(summary)]
    assert "3 accounts: 3 with rows left" in lines
    assert f"{summary.state}: {summary.reason}" in lines


def test_first_ten_stopped_accounts_are_named(tmp_path: Path) -> None:
    """The summary has all of them."""
    accounts = {f"a{n}": part(1, 2, f"why {n}") for n in range(13)} | {"z": part(3)}
    lines = ending(
        tmp_path / "a.run", accounts, exit_code=3, state=State.STOPPED, reason="13 accounts of 14",
        stopped_by=Reason.ACCOUNTS_STOPPED,
    )  # fmt: skip
    first = lines.index("  a0: why 0 (2 rows left)")
    assert lines[first + 9 : first + 12] == [
        "  a9: why 9 (2 rows left)",
        "  … and 3 more: a.run/summary.json has all",
        "14 accounts: 1 finished, 13 stopped",
    ]
    ten = ending(tmp_path / "b.run", {f"a{n}": part(1, 2, f"why {n}") for n in range(10)})
    assert not [line for line in ten if "more" in line]


def test_refused_input_says_nothing_of_accounts(tmp_path: Path) -> None:
    """Nothing was sent for any of them."""
    lines = ending(
        tmp_path / "a.run", {"acme": part(0, 3)}, exit_code=2, state=State.STOPPED,
        reason="1 invalid row: nothing was sent", stopped_by=Reason.INVALID_ROWS,
    )  # fmt: skip
    assert not [line for line in lines if "account" in line]


def test_run_with_one_key_says_nothing_of_accounts(tmp_path: Path) -> None:
    """Its end is as before."""
    assert not [line for line in ending(tmp_path / "a.run", {}) if "account" in line]


@pytest.mark.slow
@pytest.mark.parametrize("account", ["", "globex"])
def test_next_commands_are_of_the_same_accounts(account: str) -> None:
    """The commands that are suggested have the flags of accounts, and work as they are."""
    Path("accounts.toml").write_text('[globex]\napi_key_env = "GLOBEX"\n')
    header, row = ("id,title", "opp_none,x") if account else (HEADER, "globex,opp_none,x")
    Path("edits.csv").write_text(f"{header}\n{row}\n")
    Path("team.csv").write_text("id,title\nopp_1,x\n")
    flags = ["--accounts", "accounts.toml", *(["--account", account] if account else [])]
    with serving("--tasks", "team.csv", "--rate", "none") as sandbox:
        keys = {"LEMLIST_BASE_URL": sandbox.url, "GLOBEX": "sandbox"}
        done = bulkupdate("run", "edits.csv", *flags, **keys)
        assert done.returncode == 1, done.stderr
        said = " ".join(flags)
        # Each row of the file of failed rows names its account.
        fixed = "once it is fixed: bulkupdate run edits.run/failed.csv --accounts accounts.toml\n"
        again = f"bulkupdate run edits.csv {said} --out edits.run --resume --retry-failed\n"
        assert fixed in done.stderr
        assert again in done.stderr
        for command in (fixed, again):
            arguments = command.rpartition("bulkupdate ")[2].split()
            next_done = bulkupdate(*arguments, **keys)
            assert next_done.returncode == 1, next_done.stderr
            assert "1 row" in next_done.stderr
