"""What a run has changed: its counts, task by task."""

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bulkupdate.codec import replaced, to_lines
from bulkupdate.errors import JournalError, RunStoppedError
from bulkupdate.journal import changed
from bulkupdate.journal.changed import MAX_OWNERS, ChangeCounts, TaskChange, count_changes
from bulkupdate.journal.images import Image
from bulkupdate.journal.runfiles import RunFiles
from bulkupdate.models import ErrorInfo, Outcome, Result

ANNA, BEN, CARL = "usr_anna", "usr_ben", "usr_carl"


def at(second: float) -> str:
    return f"2026-11-24T14:00:{second:06.3f}Z"


def settled(row: int, second: float, outcome: Outcome = Outcome.UPDATED, **more: Any) -> Result:
    """The result of a row, about the task `opp_1` unless told otherwise."""
    return Result(
        row=row, id=more.pop("id", "opp_1"), outcome=outcome, attempts=1, at=at(second), **more
    )


def image(row: int, second: float, before: Any, sent: dict[str, Any], id_: str = "opp_1") -> Image:
    return Image(row=row, id=id_, at=at(second), before=before, sent=sent)


def files_of(directory: Path, results: Iterable[Result], images: Iterable[Image] = ()) -> RunFiles:
    files = RunFiles(directory)
    files.results.write_bytes(to_lines(results))
    if images := list(images):
        files.images.write_bytes(to_lines(images))
    return files


def test_tasks_are_counted_by_field_and_new_owner(tmp_path: Path) -> None:
    """A task counts once for each field, however many rows it has, and for its last owner."""
    files = files_of(
        tmp_path,
        [
            settled(1, 1, sent={"title": "A", "assignedTo": BEN}),
            settled(2, 2, sent={"title": "B", "assignedTo": CARL}),
            settled(3, 3, sent={"assignedTo": CARL}, id="opp_2"),
            settled(4, 4, sent={"assignedTo": ANNA}, id="opp_3"),
            settled(5, 5, sent={"priority": "1"}, id="opp_3"),
        ],
    )
    counts = count_changes(files)
    assert list(counts.fields.items()) == [("assignedTo", 3), ("title", 1), ("priority", 1)]
    assert list(counts.owners.items()) == [(CARL, 2), (ANNA, 1)]


@pytest.mark.parametrize("most", [1, 10, 100])
def test_many_steps_are_counted_in_several_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """What does not fit into the memory at once is counted all the same, once."""
    people, random = (ANNA, BEN, CARL), Random(1)
    rows = range(1, 301)
    results = [
        settled(n, n / 10, sent={"assignedTo": random.choice(people)}, id=f"opp_{n % 70}")
        for n in rows
    ]
    images = [
        image(n, n / 10 - 0.05, {"assignedTo": random.choice(people)}, {}, f"opp_{n % 70}")
        for n in rows
    ]
    files = files_of(tmp_path, results, images)
    whole = count_changes(files)
    monkeypatch.setattr(changed, "_MOST_STEPS", most)
    readings, read = list[RunFiles](), changed.read_steps

    def counted(files: RunFiles, kind: Any) -> Any:
        readings.append(files)
        return read(files, kind)

    monkeypatch.setattr(changed, "read_steps", counted)
    assert count_changes(files) == whole
    assert whole.tasks == 70
    assert len(readings) > 1


def test_same_id_of_two_accounts_is_two_tasks(tmp_path: Path) -> None:
    """Each has its own owner before and after, as its own images and lines tell."""
    sent = {"assignedTo": CARL}
    results = [
        settled(row, row, sent=sent, account=account)
        for row, account in enumerate(("acme", "globex", "acme"), 1)
    ]
    images = [
        replaced(image(1, 0.5, {"assignedTo": ANNA}, sent), account="acme"),
        replaced(image(2, 1.5, {"assignedTo": BEN}, sent), account="globex"),
    ]
    counts = count_changes(files_of(tmp_path, results, images))
    assert counts == ChangeCounts({"assignedTo": 2}, {CARL: 2}, {ANNA: 1, BEN: 1}, 2)


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.UPDATED])
def test_only_updated_tasks_are_counted(tmp_path: Path, outcome: Outcome) -> None:
    """A row with another outcome counts as no change, whatever was sent for it."""
    error = ErrorInfo("timeout", "no answer")
    result = settled(1, 1, outcome, sent={"title": "A"}, error=error)
    assert count_changes(files_of(tmp_path, [result])) == ChangeCounts({}, {})


def test_task_that_failed_later_stays_updated(tmp_path: Path) -> None:
    """What one row has changed stays changed when a later row of the task fails."""
    results = [
        settled(1, 1, sent={"title": "A"}),
        settled(2, 2, Outcome.FAILED, sent={"message": "B"}),
    ]
    assert count_changes(files_of(tmp_path, results)).fields == {"title": 1}


def test_owner_in_the_answer_counts(tmp_path: Path) -> None:
    """Where the server has returned another owner than was sent, that one counts."""
    sent = {"assignedTo": BEN}
    results = [
        settled(1, 1, sent=sent, task={"_id": "opp_1", "userId": CARL}),
        settled(2, 1, sent=sent, task={"_id": "opp_2"}, id="opp_2"),
        settled(3, 1, sent={"title": "A"}, task={"_id": "opp_3", "userId": ANNA}, id="opp_3"),
    ]
    assert count_changes(files_of(tmp_path, results)).owners == {CARL: 1, BEN: 1}


def test_row_in_doubt_that_was_then_right_is_counted(tmp_path: Path) -> None:
    """A request without an outcome has changed its task if that is as the row asks later."""
    sent = {"title": "A", "assignedTo": BEN}
    images = [
        image(row, 1, {"title": "T", "assignedTo": ANNA}, sent, f"opp_{row}") for row in (1, 3)
    ]
    results = [
        settled(2, 2, Outcome.UNCONFIRMED, sent=sent, id="opp_2"),
        settled(3, 2, Outcome.FAILED, sent=sent, id="opp_3"),
        *(
            settled(row, 9, Outcome.UNCHANGED, reason="already", id=f"opp_{row}")
            for row in (1, 2, 3, 4)
        ),
    ]
    counts = count_changes(files_of(tmp_path, results, images))
    assert counts == ChangeCounts({"assignedTo": 2, "title": 2}, {BEN: 2}, {ANNA: 1}, tasks=2)


def test_another_row_that_was_right_settles_no_doubt(tmp_path: Path) -> None:
    """A row whose task is right tells nothing of the request of another row."""
    images = [image(1, 1, {"title": "T"}, {"title": "A"})]
    results = [settled(2, 2, Outcome.UNCHANGED, reason="already")]
    assert count_changes(files_of(tmp_path, results, images)).fields == {}


def test_givers_are_owners_that_tasks_were_taken_from(tmp_path: Path) -> None:
    """The earlier owners of updated tasks are counted, the most frequent first, and nobody else."""
    images = [
        image(3, 0, {"assignedTo": CARL}, {"assignedTo": BEN}, "opp_3"),
        image(1, 1, {"assignedTo": ANNA}, {"assignedTo": BEN}),
        image(2, 1, {"assignedTo": CARL}, {"assignedTo": BEN}, "opp_2"),
        image(4, 1, {"assignedTo": ANNA}, {"assignedTo": BEN}, "opp_4"),
    ]
    results = [
        settled(3, 2, sent={"assignedTo": BEN}, id="opp_3"),
        settled(4, 2, sent={"assignedTo": BEN}, id="opp_4"),
        settled(1, 2, sent={"assignedTo": BEN}),
        settled(2, 2, Outcome.FAILED, sent={"assignedTo": BEN}, id="opp_2"),
    ]
    givers = count_changes(files_of(tmp_path, results, images)).givers
    assert list(givers.items()) == [(ANNA, 2), (CARL, 1)]


def test_rows_of_an_edited_input_count_with_the_earlier_ones(tmp_path: Path) -> None:
    """Earlier logs count too: a kept line once, and the line of a removed row as well."""
    kept = settled(2, 2, sent={"title": "B"}, id="opp_2")
    files = files_of(tmp_path, [kept, settled(2, 3, sent={"title": "C"}, id="opp_3")])
    first = [settled(1, 1, sent={"title": "A"}), kept]
    (tmp_path / "results.1.jsonl").write_bytes(to_lines(first))
    assert count_changes(files).fields == {"title": 3}


def test_owners_beyond_a_bound_are_counted_together(tmp_path: Path) -> None:
    """A thousand owners are counted one by one, and all others as `others`, at the end."""
    kept = {"_id": "opp_0", "userId": "usr_0"}
    results = [settled(1, 1, sent={"title": "A"}, task=kept, id="opp_0")]
    results += [
        settled(n, 1, sent={"assignedTo": f"usr_{n}"}, id=f"opp_{n}")
        for n in range(1, MAX_OWNERS + 6)
    ]
    owners = count_changes(files_of(tmp_path, results)).owners
    assert len(owners) == MAX_OWNERS + 1
    assert list(owners.items())[-1] == ("others", 5)


def test_torn_line_and_missing_files_count_as_nothing(tmp_path: Path) -> None:
    """A run without a log has changed nothing, and a line that is being written is left out."""
    assert count_changes(RunFiles(tmp_path)) == ChangeCounts({}, {})
    files = files_of(tmp_path, [settled(1, 1, sent={"title": "A"})])
    with files.results.open("a") as log:
        log.write('{"row":2,"id":"opp')
    assert count_changes(files).fields == {"title": 1}


def test_count_can_be_ended(tmp_path: Path) -> None:
    """What `check` raises ends the count. A line that is no result is named."""

    def check() -> None:
        raise RunStoppedError("stopped")

    files = files_of(tmp_path, [settled(1, 1, sent={"title": "A"})])
    with pytest.raises(RunStoppedError):
        count_changes(files, check)
    files.results.write_text("what\n")
    with pytest.raises(JournalError, match="line 1, is not a result"):
        count_changes(files)


def test_value_before_is_that_of_the_newest_image() -> None:
    """What another hand has written in between is what was overwritten. A retry needs no image."""
    change = TaskChange()
    change.saw(1, {"title": "T"}, {"title": "A"})
    change.settled(1, Outcome.FAILED, {"title": "A"})
    change.settled(1, Outcome.UPDATED, {"title": "A"})
    change.settled(2, Outcome.UPDATED, {"title": "B", "message": "M"})
    assert (change.before, change.after) == ({"title": "T"}, {"title": "B", "message": "M"})
    change.saw(3, {"title": "X"}, {"title": "C"})
    assert (change.before, change.is_in_doubt) == ({"title": "T"}, True)
    change.settled(3, Outcome.UPDATED, {"title": "C"})
    assert change.before == {"title": "X"}
    assert not change.is_in_doubt
