"""The records of a run, and their JSON."""

import json

import pytest

from bulkupdate.codec import parse_json, parse_record, to_json
from bulkupdate.errors import InvalidUpdateError
from bulkupdate.models import ErrorInfo, Outcome, Result, Task, TaskUpdate, now


def test_only_what_was_given_is_sent() -> None:
    update = TaskUpdate(id="opp_a", done=False, title="")
    assert json.loads(update.encode()) == {"id": "opp_a", "done": False, "title": ""}
    assert update.changes() == {"title": "", "done": False}


def test_every_field_has_its_name_on_the_wire() -> None:
    update = TaskUpdate(
        id="opp_a",
        assigned_to="usr_b",
        due_date="2026-01-31T08:58:00+01:00",
        title="T",
        message="M",
        priority="high",
        done="yes",
        images=("https://a.example/i.png",),
        videos=(),
    )
    assert json.loads(update.encode()) == {
        "id": "opp_a",
        "assignedTo": "usr_b",
        "dueDate": "2026-01-31T07:58:00.000Z",
        "title": "T",
        "message": "M",
        "priority": "2",
        "done": True,
        "images": ["https://a.example/i.png"],
        "videos": [],
    }
    assert update.has_media()
    assert not TaskUpdate(id="a", images=()).has_media()


def test_an_update_says_everything_that_is_wrong_with_it() -> None:
    with pytest.raises(InvalidUpdateError) as caught:
        TaskUpdate(id="a b", due_date="2026-01-31", priority="urgent", done="maybe")
    assert [problem.field for problem in caught.value.problems] == [
        "id", "dueDate", "priority", "done",
    ]  # fmt: skip
    assert "'urgent'" in str(caught.value)


def test_more_than_six_images_and_videos_are_refused() -> None:
    urls = tuple(f"https://a.example/{n}" for n in range(4))
    with pytest.raises(InvalidUpdateError, match="8 images and videos: a task takes 6"):
        TaskUpdate(id="a", images=urls, videos=urls)


def test_a_task_keeps_what_it_does_not_know_and_lacks_nothing_but_an_id() -> None:
    task = Task({"_id": "opp_a", "userId": "usr_b", "content": "M", "new": 1})
    assert (task.id, task.assigned_to, task.message) == ("opp_a", "usr_b", "M")
    assert (task.title, task.due_date, task.priority, task.status) == (None, None, None, None)
    assert task.fields["new"] == 1


def test_a_result_reads_back_as_it_was_written() -> None:
    result = Result(
        row=2,
        id="opp_a",
        outcome=Outcome.FAILED,
        status=404,
        attempts=1,
        at=now(),
        ms=41.0,
        sent={"done": True},
        error=ErrorInfo("not_found", "Task not found"),
    )
    line = to_json(result)
    assert parse_record(line, Result) == result
    assert b"\n" not in line
    assert json.loads(line)["error"] == {"type": "not_found", "message": "Task not found"}


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff", b"nan"])
def test_what_is_not_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)
    with pytest.raises(ValueError, match=r".+"):
        parse_record(text, Result)
