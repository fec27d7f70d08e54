"""Tests of the file of members: a table that serves as a value map too."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.errors import JournalError, RunStoppedError
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.reader import Format, Input, ReadOptions
from bulkupdate.sandbox import Member, Sandbox, SandboxConfig, Team
from bulkupdate.session.accounts import Asked
from bulkupdate.session.reading import Known
from bulkupdate.session.team import write_team, write_teams
from bulkupdate.stop import Stop
from tests.support.listed import AT_ONCE, endpoint_of

BEN = Member("usr_ben", "Ben", "Keller", "ben@example.com", "admin")
ZOE = Member("usr_zoe", "Zoé", "", "", "user")
LONELY = Member("usr_lonely", role="")
NO_MEMBER = "the team can't be read (it tells no member)"


async def written(path: Path, users: list[Member], **settings: Any) -> Known:
    config = SandboxConfig(**{"rate": None, **settings})
    async with Sandbox(config, team=Team(users=users)) as sandbox:
        form = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".xlsx": Format.XLSX}[path.suffix]
        return await write_team(path, endpoint_of(sandbox), form, None, AT_ONCE, Stop())


def owners(path: Path, *texts: str) -> list[str]:
    """The owners that a file of edits sets, with a value map."""
    edits = path.with_name("edits.csv")
    edits.write_text("id,assignedTo\n" + "".join(f"opp_1,{text}\n" for text in texts))
    with Input.open(edits, options=ReadOptions(value_map=path)) as source:
        updates = [row.update for row in source.rows()]
    return [str(update.assigned_to) if update else "" for update in updates]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
async def test_file_of_members_is_a_value_map(tmp_path: Path, suffix: str) -> None:
    """Edits name owners by e-mail address, by name where there is none, else by id."""
    path = tmp_path / f"team{suffix}"
    await written(path, [BEN, ZOE, LONELY])
    found = owners(path, "ben@example.com", "Ben@Example.com", "zoé", "usr_lonely")
    assert found == ["usr_ben", "usr_ben", "usr_zoe", "usr_lonely"]
    assert owners(path, "anna@example.com") == [""]


async def test_table_of_members_has_these_columns(tmp_path: Path) -> None:
    """The columns about a member come first, and then those of a value map."""
    known = await written(tmp_path / "team.csv", [BEN, LONELY])
    assert (tmp_path / "team.csv").read_text("utf-8").splitlines() == [
        "\ufeffuserId,name,email,role,column,from,to",
        "usr_ben,Ben Keller,ben@example.com,admin,assignedTo,ben@example.com,usr_ben",
        "usr_lonely,,,,assignedTo,usr_lonely,usr_lonely",
    ]
    assert known.members is not None
    assert len(known.members) == 2


async def test_jsonl_has_an_object_for_each_member(tmp_path: Path) -> None:
    """JSONL has the same names and values."""
    await written(tmp_path / "team.jsonl", [BEN])
    (line,) = (tmp_path / "team.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "userId": "usr_ben", "name": "Ben Keller", "email": "ben@example.com", "role": "admin",
        "column": "assignedTo", "from": "ben@example.com", "to": "usr_ben",
    }  # fmt: skip


async def test_members_of_one_name_are_mapped_by_their_ids(tmp_path: Path) -> None:
    """A name or an address of two members stands for nobody, and the file is a value map still."""
    twins = [Member("usr_1", "Anna"), Member("usr_2", "ANNA"), BEN]
    await written(tmp_path / "team.csv", twins)
    found = owners(tmp_path / "team.csv", "usr_1", "usr_2", "ben@example.com", "Anna")
    assert found == ["usr_1", "usr_2", "usr_ben", ""]


async def test_name_that_a_spreadsheet_would_run_is_a_text(tmp_path: Path) -> None:
    """A name is never a formula."""
    await written(tmp_path / "team.csv", [Member("usr_x", "=cmd()", "x")])
    assert ",'=cmd() x," in (tmp_path / "team.csv").read_text()


@pytest.mark.parametrize("settings", [{"closed": {"team": 402}}, {"closed": {"team": "html"}}])
async def test_team_that_can_not_be_read_is_an_error(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Members are all that the command is about: without them, there is no file."""
    with pytest.raises(RunStoppedError, match="the team can't be read"):
        await written(tmp_path / "team.csv", [BEN], **settings)
    assert [*tmp_path.iterdir()] == []


async def test_team_that_tells_no_member_is_an_error(tmp_path: Path) -> None:
    """A team has members. One without any is not believed."""
    with pytest.raises(RunStoppedError, match="it tells no member"):
        await written(tmp_path / "team.csv", [], team_version=1)


async def test_file_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    """A file that can't be written ends the command with the words of the system."""
    (tmp_path / "team.csv").mkdir()
    with pytest.raises(JournalError, match="the file can't be written: Is a directory"):
        await written(tmp_path / "team.csv", [BEN])


async def test_ids_alone_are_written_and_noted(tmp_path: Path) -> None:
    """Where names can't be read, the ids are written, and the note says so."""
    known = await written(tmp_path / "team.csv", [BEN], team_version=1, closed={"users": 402})
    assert known.note.startswith("names of users can't be read: only their ids work")
    assert owners(tmp_path / "team.csv", "usr_ben") == ["usr_ben"]


async def written_all(
    path: Path, teams: Mapping[str, list[Member]], shut: tuple[str, ...] = ()
) -> list[Asked]:
    """Write the members of the teams of some accounts. The keys of some are refused."""
    form = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".xlsx": Format.XLSX}[path.suffix]
    async with contextlib.AsyncExitStack() as stack:
        endpoints = {}
        for name, users in teams.items():
            config = SandboxConfig(rate=None, key=f"key-{name}", team_version=2 if users else 1)
            sandbox = Sandbox(config, team=Team(id_=f"tea_{name}", users=users))
            await stack.enter_async_context(sandbox)
            endpoints[name] = endpoint_of(sandbox, "no" if name in shut else None)
        return await write_teams(path, Accounts.of(endpoints), form, None, AT_ONCE, Stop())


async def test_members_of_several_teams_have_their_accounts_first(tmp_path: Path) -> None:
    """The rows come in the order of the accounts. A member of two teams has two rows."""
    path = tmp_path / "team.csv"
    asked = await written_all(path, {"b": [BEN], "a": [LONELY, BEN]})
    assert path.read_text("utf-8").splitlines() == [
        "\ufeffaccount,userId,name,email,role,column,from,to",
        "b,usr_ben,Ben Keller,ben@example.com,admin,assignedTo,ben@example.com,usr_ben",
        "a,usr_lonely,,,,assignedTo,usr_lonely,usr_lonely",
        "a,usr_ben,Ben Keller,ben@example.com,admin,assignedTo,ben@example.com,usr_ben",
    ]
    assert [(one.account.name, one.problem) for one in asked] == [("b", ""), ("a", "")]
    await written_all(tmp_path / "team.jsonl", {"b": [BEN]})
    assert json.loads((tmp_path / "team.jsonl").read_text())["account"] == "b"


async def test_file_of_several_teams_is_a_value_map(tmp_path: Path) -> None:
    """A name that stands for two people of two teams stands for neither, and ids for themselves."""
    path = tmp_path / "team.csv"
    other = Member("usr_ben_2", "Ben", "Keller", "ben@example.com")
    await written_all(path, {"a": [BEN, ZOE], "b": [other, ZOE]})
    found = owners(path, "ben@example.com", "usr_ben", "usr_ben_2", "zoé")
    assert found == ["", "usr_ben", "usr_ben_2", "usr_zoe"]


async def test_team_that_can_not_be_read_leaves_the_others(tmp_path: Path) -> None:
    """A refused key, and a team without members, are told beside what is written."""
    asked = await written_all(tmp_path / "t.csv", {"a": [BEN], "b": [ZOE], "c": []}, shut=("b",))
    assert [one.problem.partition(":")[0] for one in asked] == [
        "", "the key is refused", NO_MEMBER,
    ]  # fmt: skip
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 2


async def test_no_file_is_written_without_any_team(tmp_path: Path) -> None:
    """Where no team can be read, the error has a line for each account."""
    with pytest.raises(RunStoppedError) as caught:
        await written_all(tmp_path / "t.csv", {"a": [BEN], "b": []}, shut=("a",))
    first, second = str(caught.value).splitlines()
    assert first.startswith("account 'a': the key is refused: unauthorized: 401")
    assert second == f"account 'b': {NO_MEMBER}"
    assert [*tmp_path.iterdir()] == []
