"""Tests of people: the user that a text stands for, or why it stands for none."""

import pytest

from bulkupdate.codec import replaced
from bulkupdate.fields import WrongValueError
from bulkupdate.lemlist.team import Member
from bulkupdate.models import ErrorInfo
from bulkupdate.plan import People

ANNA = Member("usr_anna", "Anna Martin", "anna@acme.example", "admin")
BEN = Member("usr_ben", "Ben  Keller", "Ben@Acme.example", "user")
ZOE = Member("usr_zoe", "Zoé Straße", "zoe@acme.example")
LONELY = Member("usr_ids_alone")
TEAM = People([ANNA, BEN, ZOE, LONELY], owners=["usr_left", "left-long-ago"])


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("usr_ben", "usr_ben"),
        (" usr_ben ", "usr_ben"),
        ("ben@acme.example", "usr_ben"),
        ("BEN@ACME.EXAMPLE", "usr_ben"),
        ("Anna Martin", "usr_anna"),
        ("anna  MARTIN", "usr_anna"),
        ("ben keller", "usr_ben"),
        ("ZOÉ STRASSE", "usr_zoe"),
    ],
)
def test_id_email_or_name_stands_for_a_member(text: str, id_: str) -> None:
    """A member is named by the exact id, or by e-mail address or name in any case."""
    assert TEAM.source(text) == TEAM.target(text) == id_


def test_exact_id_wins_over_email_and_email_over_name() -> None:
    """A name that is another one's address or id does not hide that one."""
    first = Member("usr_1", "usr_2", "x@acme.example")
    second = Member("usr_2", "x@acme.example", "y@acme.example")
    third = Member("left-1", "Third", "third@acme.example")
    people = People([first, second, third], owners=["third"])
    assert people.source("usr_2") == people.target("usr_2") == "usr_2"
    assert people.source("x@acme.example") == people.target("x@acme.example") == "usr_1"
    assert people.source("third") == "third"
    assert people.target("third") == "left-1"


@pytest.mark.parametrize("text", ["usr_left", "left-long-ago", "usr_never_seen"])
def test_who_has_left_is_a_source_and_no_target(text: str) -> None:
    """Someone who has left may still own tasks, and gets none. Any `usr_…` is a source."""
    assert TEAM.source(text) == text
    with pytest.raises(ValueError, match="is no member of the team"):
        TEAM.target(text)


def test_owners_are_added_as_tasks_are_listed() -> None:
    """An owner without the usual prefix is a source as soon as a task shows it."""
    people = People([ANNA])
    with pytest.raises(ValueError, match="is no member of the team"):
        people.source("left-long-ago")
    people.add_owners(["left-long-ago"])
    assert people.source("left-long-ago") == "left-long-ago"


@pytest.mark.parametrize("text", ["usr_", "usr_é", "usr_a b"])
def test_id_that_is_none_is_no_source(text: str) -> None:
    """What only looks like an id is refused by the rule of ids."""
    with pytest.raises(ValueError, match=r"cut off|beyond ASCII|has a blank"):
        TEAM.source(text)


def test_name_of_two_members_is_refused_with_both() -> None:
    """Nobody is guessed: the message names both."""
    twins = [Member("usr_1", "Anna Martin", "a@acme.example"), Member("usr_2", "anna martin")]
    for ask in (People(twins).source, People(twins).target):
        with pytest.raises(ValueError, match="enter an e-mail address or an id") as caught:
            ask("Anna Martin")
        assert "Anna Martin a@acme.example (usr_1) and anna martin (usr_2)" in str(caught.value)


@pytest.mark.parametrize("text", ["ben", "KELLER"])
def test_part_of_a_name_is_refused_with_the_member(text: str) -> None:
    """A first or a last name alone stands for nobody. Its member is named."""
    with pytest.raises(WrongValueError) as caught:
        TEAM.source(text)
    assert caught.value.hint == ": did you mean Ben  Keller Ben@Acme.example (usr_ben)?"


def test_misspelt_name_is_refused_with_the_nearest() -> None:
    """The nearest members are named, three at most."""
    with pytest.raises(WrongValueError) as caught:
        TEAM.target("ana martin")
    assert str(caught.value) == "is no member of the team"
    assert caught.value.hint == ": did you mean Anna Martin anna@acme.example (usr_anna)?"
    many = People([Member(f"usr_{n}", f"Anna Martin {n}") for n in range(9)])
    with pytest.raises(WrongValueError) as caught:
        many.target("Anna Martin")
    assert caught.value.hint.count("Anna Martin") == 3


def test_domain_of_an_address_makes_nobody_near() -> None:
    """All addresses of a team have the same domain, so that only what stands before it counts."""
    with pytest.raises(WrongValueError) as caught:
        TEAM.target("bem@acme.example")
    assert caught.value.hint == ": did you mean Ben  Keller Ben@Acme.example (usr_ben)?"
    with pytest.raises(WrongValueError) as caught:
        TEAM.target("xyz@acme.example")
    assert caught.value.hint.startswith(": it has 4 members")


def test_stranger_is_refused_with_the_way_to_the_members() -> None:
    """Where no member is near, the message says how to list them."""
    with pytest.raises(WrongValueError) as caught:
        TEAM.source("q")
    assert caught.value.hint == ": it has 4 members (bulkupdate team lists them)"


@pytest.mark.parametrize("text", ["", "  "])
@pytest.mark.parametrize("people", [TEAM, People([LONELY]), People(None)])
def test_empty_text_stands_for_nobody(text: str, people: People) -> None:
    """A member without a name or an address is not meant by an empty text."""
    for ask in (people.source, people.target):
        with pytest.raises(ValueError, match="is empty"):
            ask(text)


def test_without_a_team_only_ids_work() -> None:
    """Where the team can't be read, ids are taken as they are, and names are refused."""
    unknown = People(None)
    assert not unknown.is_known
    assert unknown.source("usr_ben") == unknown.target("usr_ben") == "usr_ben"
    assert unknown.target("left-1") == "left-1"
    for text in ("ben@acme.example", "Ben Keller"):
        for ask in (unknown.source, unknown.target):
            with pytest.raises(ValueError, match="the team can't be read: enter the id"):
                ask(text)


def test_member_is_shown_by_what_people_know() -> None:
    """A user is shown by the address, else by the name, else by the id."""
    people = People([ANNA, LONELY, Member("usr_n", "Name")])
    shown = [people.shown(one) for one in ("usr_anna", "usr_n", "usr_ids_alone", "usr_left")]
    assert shown == ["anna@acme.example", "Name", "usr_ids_alone", "usr_left"]
    assert people.members[0] == ANNA


def test_conflict_about_an_owner_names_both_people() -> None:
    """The message has what people know beside the ids; the values stay ids."""
    message = "assignedTo is 'usr_ben', and 'usr_anna' is expected"
    error = ErrorInfo("changed_since", message, "assignedTo", "usr_anna", "usr_ben")
    named = TEAM.named(error)
    assert named.message == (
        "assignedTo is 'Ben@Acme.example (usr_ben)', and 'anna@acme.example (usr_anna)' is expected"
    )
    assert (named.expected, named.found) == ("usr_anna", "usr_ben")
    left = replaced(error, found="usr_left", message="assignedTo is 'usr_left'")
    assert TEAM.named(left) == left
    text = replaced(error, field="title", expected="usr_anna", found="usr_ben")
    assert TEAM.named(text) == text
