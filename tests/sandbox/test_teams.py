"""Tests of made-up teams with names of their own."""

import json

import pytest

from bulkupdate.sandbox import Team, made_up_team
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
