"""Tests of teams with names of their own: made-up ones, and those of files."""

import json
from pathlib import Path

import pytest

from bulkupdate.errors import InputError
from bulkupdate.reader import Input, ReadOptions
from bulkupdate.sandbox import Team, made_up_team, team_for, teams_for, teams_of
from bulkupdate.sandbox.members import USERS, made_up_id
from bulkupdate.sandbox.team import TASKS


def ids_in(team: Team) -> set[str]:
    """All ids that a team tells."""
    listed = [value for task in team.tasks.values() for value in task.values()]
    about = json.dumps([team.id, *team.users, *team.campaigns, team.about_senders()])
    ids = {value for value in listed if isinstance(value, str) and value[3:4] == "_"}
    return ids | {word for word in about.split('"') if word[3:4] == "_"}


def test_made_up_teams_of_other_names_share_no_id() -> None:
    """A made-up team is the same for its name, and shares no id with one of another name."""
    acme, globex, unnamed = made_up_team("acme"), made_up_team("globex"), made_up_team()
    assert (acme.tasks, acme.users, acme.id) == (
        made_up_team("acme").tasks,
        made_up_team("acme").users,
        made_up_team("acme").id,
    )
    assert len(ids_in(acme)) == len(ids_in(globex)) == len(ids_in(unnamed)) > 2 * TASKS
    assert not ids_in(acme) & ids_in(globex)
    assert not (ids_in(acme) | ids_in(globex)) & ids_in(unnamed)
    assert (len(acme.tasks), len(acme.users)) == (TASKS, USERS)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("acme", "acme.example"),
        ("acme-2", "acme-2.example"),
        ("", "example.com"),
    ],
)
def test_members_have_addresses_of_their_team(name: str, domain: str) -> None:
    """The e-mail addresses of members have the name of their team as domain."""
    users = made_up_team(name).users.values()
    assert [user.email.partition("@")[2] for user in users] == [domain] * USERS
    assert [user.name for user in users] == [user.name for user in made_up_team().users.values()]


@pytest.mark.parametrize("name", ["Acme", "ACME", "Acme & Söhne", "日本", "-", "a" * 200])
def test_any_name_makes_a_domain_of_its_own(name: str) -> None:
    """A name that no domain can have makes one that is like it, and that no other name has."""
    (domain,) = {user.email.partition("@")[2] for user in made_up_team(name).users.values()}
    label = domain.removesuffix(".example")
    assert label.isascii()
    assert label.replace("-", "").isalnum()
    assert label.strip("-") == label.lower()
    assert 6 <= len(label) < 64


def test_names_that_differ_in_case_have_other_domains() -> None:
    """Two names never have the same domain."""
    names = ("acme", "Acme", "ACME", "acme!", "acme-")
    domains = {next(iter(made_up_team(name).users.values())).email for name in names}
    assert len(domains) == len(names)


def test_made_up_teams_may_share_task_ids() -> None:
    """Two teams may have the ids of their first tasks in common, and only those."""
    acme, globex = made_up_team("acme", shared=5), made_up_team("globex", shared=3)
    assert [*acme.tasks][:5] == [*made_up_team().tasks][:5]
    assert set(acme.tasks) & set(globex.tasks) == {made_up_id("opp", n) for n in range(3)}
    first = made_up_id("opp", 0)
    assert acme.tasks[first]["userId"] in acme.users
    assert acme.tasks[first]["userId"] != globex.tasks[first]["userId"]


EDITS = f"""\
account,id,assignedTo,title,expect.title,expect.assignedTo
acme,opp_1,usr_new,A,Before,
globex,opp_1,anna.martin@globex.example,B,,Carl
globex,opp_2,,C,Other,anna.martin@globex.example
acme,opp_1,,D,A,
globex,opp_3,{made_up_id("usr", 0, "globex")},E,,
acme,opp_4,,F,,ben@acme.example
initech,,,G,,
"""


def rehearsed(folder: Path, text: str, *accounts: str) -> dict[str, Team]:
    """The teams in which the edits of a text can be made."""
    (folder / "edits.csv").write_text(text)
    options = ReadOptions(accounts=accounts or None, people=True)
    with Input.open(folder / "edits.csv", options=options) as source:
        return teams_for(source)


def test_input_makes_a_team_for_each_account(tmp_path: Path) -> None:
    """Each account with a valid row has a team that holds what its own rows expect."""
    teams = rehearsed(tmp_path, EDITS, "acme", "globex", "initech", "umbrella")
    acme, globex = teams["acme"], teams["globex"]
    assert [*teams] == ["acme", "globex"]
    assert [(team.name, team.id) for team in teams.values()] == [
        (name, Team(name=name).id) for name in ("acme", "globex")
    ]
    assert {id_: task["title"] for id_, task in acme.tasks.items()} == {
        "opp_1": "Before",
        "opp_4": "Task 2",
    }
    assert {id_: task["title"] for id_, task in globex.tasks.items()} == {
        "opp_1": "Task 1",
        "opp_2": "Other",
        "opp_3": "Task 3",
    }


def test_people_of_an_input_belong_to_the_account_of_their_row(tmp_path: Path) -> None:
    """A person whom a row names is a member of that row's team, and of no other."""
    teams = rehearsed(tmp_path, EDITS, "acme", "globex", "initech")
    acme, globex = teams["acme"], teams["globex"]
    anna = made_up_id("usr", 0, "globex")
    assert (len(acme.users), len(globex.users)) == (USERS + 2, USERS + 1)
    assert "usr_new" in acme.users
    assert acme.users["usr_new"].email.endswith("@acme.example")
    assert {user.email for user in acme.users.values()} >= {"ben@acme.example"}
    assert globex.tasks["opp_2"]["userId"] == anna
    assert globex.users[globex.tasks["opp_1"]["userId"]].name == "Carl"
    assert not set(acme.users) & set(globex.users)


def test_input_without_accounts_makes_one_team(tmp_path: Path) -> None:
    """Without accounts, one team without a name holds all tasks; without rows it is empty."""
    teams = rehearsed(tmp_path, "id,title,expect.title\nopp_1,A,B\nopp_2,A,\n")
    with Input.open(tmp_path / "edits.csv") as source:
        team = team_for(source)
    assert [*teams] == [""]
    assert (team.tasks, team.users, team.id) == (teams[""].tasks, teams[""].users, Team().id)
    (tmp_path / "edits.csv").write_text("id,title\n,A\n")
    with Input.open(tmp_path / "edits.csv") as source:
        assert (team_for(source).tasks, team_for(source).id) == ({}, Team().id)


def test_file_of_edits_holds_tasks_of_its_accounts(tmp_path: Path) -> None:
    """The teams of a file of edits hold the tasks that their own rows name."""
    path = tmp_path / "edits.csv"
    path.write_text("account,id,assignedTo\nacme,opp_1,usr_a\nglobex,opp_1,usr_b\nacme,opp_2,\n")
    teams = teams_of(path, ["globex", "acme", "initech"])
    assert {name: [*team.tasks] for name, team in teams.items()} == {
        "globex": ["opp_1"],
        "acme": ["opp_1", "opp_2"],
        "initech": [],
    }
    assert len({team.id for team in teams.values()}) == 3
    assert "usr_a" in teams["acme"].users
    assert teams["globex"].users["usr_b"].email.endswith("@globex.example")


def test_file_of_tasks_may_name_their_accounts(tmp_path: Path) -> None:
    """Tasks as the API returns them belong to the account that a key of theirs names."""
    path = tmp_path / "tasks.jsonl"
    task = {"_id": "opp_1", "type": "phone", "title": "Kept", "userId": "usr_a"}
    lines = [json.dumps({"account": name, **task}) for name in ("acme", "globex")]
    path.write_text("\n".join(lines))
    teams = teams_of(path, ["acme", "globex"])
    for team in teams.values():
        assert team.tasks["opp_1"] | task == team.tasks["opp_1"]
        assert "account" not in team.tasks["opp_1"]
        assert next(iter(team.users)) == "usr_a"
    assert ids_in(teams["acme"]) & ids_in(teams["globex"]) == {"opp_1", "usr_a"}


def test_members_of_a_made_up_team_keep_their_names(tmp_path: Path) -> None:
    """An edit that assigns a task to a member of the account's made-up team means that member."""
    anna = made_up_id("usr", 0, "acme")
    path = tmp_path / "edits.csv"
    path.write_text(f"account,id,assignedTo\nacme,opp_1,{anna}\n")
    assert teams_of(path, ["acme"])["acme"].users[anna] == made_up_team("acme").users[anna]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("initech,opp_1,A", "row 2 has no account"),
        (",opp_1,A", "row 2 has no account"),
        ("acme,,A", "row 2 names no task"),
    ],
)
def test_row_without_account_or_task_is_refused(row: str, message: str, tmp_path: Path) -> None:
    """A row of a file of tasks names one of the accounts, and a task."""
    path = tmp_path / "edits.csv"
    path.write_text(f"account,id,title\nacme,opp_1,A\n{row}\n")
    with pytest.raises(InputError, match=message):
        teams_of(path, ["acme", "globex"])
