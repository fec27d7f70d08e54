"""Tests of finding ids that are unlike all others."""

from pathlib import Path

import pytest

from bulkupdate.models import Row
from bulkupdate.plan.oddids import OddId, OddIds
from bulkupdate.plan.preview import inspect
from bulkupdate.reader import Input, ReadOptions
from bulkupdate.ui import messages


def odd(*ids: str) -> tuple[int, list[OddId]]:
    finder = OddIds()
    rows = [Row(number, number, id_, None, (), ()) for number, id_ in enumerate(ids, 1)]
    for start in range(0, len(rows), 4):
        finder.add(rows[start : start + 4])
    return finder.found


@pytest.mark.parametrize("word", ["Total", "17", "tmp_1", "2026-12-01", "Sum:"])
def test_word_among_ids_is_found(word: str) -> None:
    """A word that begins otherwise than all ids is found with its row."""
    assert odd("opp_1", "opp_2", word, "opp_3") == (1, [OddId(3, word)])


def test_word_among_plain_ids_is_found() -> None:
    """Where ids have no common beginning, letters alone and digits alone stand out."""
    assert odd("a1b2", "c3", "Total", "d4e", "12") == (2, [OddId(3, "Total"), OddId(5, "12")])


def test_ids_of_several_kinds_are_left_alone() -> None:
    """Where no kind is in the majority, or others are many, nothing stands out."""
    assert odd("new_1", "tsk_1") == (0, [])
    assert odd(*(f"new_{n}" for n in range(9)), *(f"old_{n}" for n in range(4))) == (0, [])
    assert odd("opp_1", "tsk_1", "tsk_2") == (1, [OddId(1, "opp_1")])
    assert odd() == (0, [])
    assert odd("Total") == (0, [])


def test_whatever_is_no_task_is_unlike_tasks() -> None:
    """Where half of the ids are those of tasks, all others are counted, as lines of subtotals."""
    assert odd("opp_1", "Total") == (1, [OddId(2, "Total")])
    groups = [id_ for name in ("Anna", "Ben", "Zoe", "Emil") for id_ in ("opp_1", "opp_2", name)]
    assert odd(*groups) == (4, [OddId(3, "Anna"), OddId(6, "Ben"), OddId(9, "Zoe")])
    assert odd("opp_1", "opp_2", "Legend:", "17") == (2, [OddId(3, "Legend:"), OddId(4, "17")])


def test_owners_that_are_no_users_are_pointed_out(tmp_path: Path) -> None:
    """Swapped columns and lookups that found nothing are seen before anything is sent."""
    path = tmp_path / "a.csv"
    path.write_text(
        "id,assignedTo,title\nopp_1,usr_1,x\nopp_2,Reminder,usr_1\nopp_3,0,z\nopp_4,0,z\nopp_5,,z\n"
    )
    with Input.open(path) as source:
        *_, inspection = inspect(source)
        lines = list(messages.preview_lines(source, inspection.preview(None)))
    assert "  UNLIKE ids of users (usr_…): 'Reminder' (row 2), '0' (row 3), in 3 rows" in lines
    with Input.open(path, options=ReadOptions(people=True)) as source:
        *_, inspection = inspect(source)
        assert inspection.preview(None).odd_owner_rows == 0, "the team will be asked for them"


def test_few_in_a_long_file_are_counted_and_the_first_are_shown() -> None:
    """One id in a hundred may be odd, and the first three are shown."""
    ids = [f"new_{n}" for n in range(990)]
    assert odd("sum", *ids, *"abcdefghi") == (
        10,
        [OddId(1, "sum"), OddId(992, "a"), OddId(993, "b")],
    )
    assert odd("sum", *ids, *"abcdefghij") == (0, [])


def test_tasks_are_known_behind_many_other_ids() -> None:
    """Ids of tasks are a kind of their own, however late the first of them comes."""
    others = [f"k{number}_1" for number in range(150)]
    found, _ = odd(*others, *(f"opp_{number}" for number in range(1000)))
    assert found == 150


def test_kinds_are_bounded() -> None:
    """Any number of kinds is counted in bounded memory."""
    finder = OddIds()
    for number in range(1000):
        finder.add([Row(number, number, f"k{number}_1", None, (), ())])
    assert len(finder._kinds) <= 101
    assert finder.found == (0, [])


def test_line_of_totals_is_pointed_out_before_anything_is_sent(tmp_path: Path) -> None:
    """A line of totals below the table is pointed out with its row."""
    path = tmp_path / "a.csv"
    path.write_text("id,title\nopp_1,x\nopp_2,y\nTotal,2 tasks\n")
    with Input.open(path) as source:
        *_, inspection = inspect(source)
        lines = list(messages.preview_lines(source, inspection.preview(None)))
    assert "  UNLIKE the other ids: 'Total' (row 3)" in lines
