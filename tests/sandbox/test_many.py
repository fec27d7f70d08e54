"""Tests that programs and commands can use the accounts of one sandbox."""

import asyncio
from pathlib import Path
from typing import Any

from bulkupdate import TaskUpdate, update_tasks
from bulkupdate.sandbox import Team
from tests.support.accounts import ManyAccounts, names_of
from tests.support.commands import bulkupdate

EDITS = """\
account,id,title
account-001,opp_1,first
account-002,opp_1,second
account-003,opp_9,third
account-001,opp_2,fourth
"""


async def run(many: ManyAccounts, folder: Path, *flags: str) -> int:
    """Run the edits with the real command. Returns its exit code."""
    edits = folder / "edits.csv"
    edits.write_text(EDITS)
    given: tuple[str | Path, ...] = (
        "run",
        edits,
        "--accounts",
        many.write(folder),
        "--rate",
        "none",
        *flags,
    )
    return (await asyncio.to_thread(bulkupdate, *given, **many.environment)).returncode


async def test_command_sends_each_row_with_the_key_of_its_account(tmp_path: Path) -> None:
    """The command finds each key, and each row reaches the account that it names."""
    async with ManyAccounts(names_of(3)) as many:
        assert await run(many, tmp_path) == 0
    assert many.titles() == {
        "account-001": {"opp_1": "first", "opp_2": "fourth"},
        "account-002": {"opp_1": "second"},
        "account-003": {"opp_9": "third"},
    }
    sent = {(one.account, one.body["title"]) for one in many.seen if one.body}
    assert sent == {
        ("account-001", "first"),
        ("account-001", "fourth"),
        ("account-002", "second"),
        ("account-003", "third"),
    }


async def test_program_reaches_each_account() -> None:
    """A program gets the endpoint of each account, or all of them as accounts."""
    async with ManyAccounts(names_of(2)) as many:
        for name, endpoint in many.endpoints.items():
            update = TaskUpdate(id="opp_1", title=f"of {name}")
            [_ async for _ in update_tasks([update], endpoint, rate=None)]
        assert [*many.accounts] == names_of(2)
        key = many.accounts["account-002"].endpoint().api_key
        assert key.reveal() == many["account-002"].key
    assert many.titles() == {name: {"opp_1": f"of {name}"} for name in names_of(2)}


async def test_two_names_may_be_keys_of_one_team(tmp_path: Path) -> None:
    """Two accounts may be of one team, and the command refuses to send to both."""
    teams: dict[str, Any] = {name: Team(name="one") for name in names_of(3)}
    teams["account-002"] = teams["account-001"]
    async with ManyAccounts(names_of(3), teams.__getitem__) as many:
        assert await run(many, tmp_path) != 0
        assert not any(one.applied for one in many.seen)
        assert await run(many, tmp_path, "--same-team", "--overwrite") == 0
