"""The records of a run, and their JSON."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from bulkupdate.codec import parse_json, parse_record, to_json
from bulkupdate.errors import InvalidUpdateError
from bulkupdate.models import ErrorInfo, Outcome, Result, Row, Task, TaskUpdate, now, unsent


def test_only_given_fields_are_sent() -> None:
    """An update sends only the fields that were given."""
    update = TaskUpdate(id="opp_a", done=False, title="")
    assert json.loads(update.encode()) == {"id": "opp_a", "done": False, "title": ""}
    assert update.changes() == {"title": "", "done": False}


@pytest.mark.parametrize("day", ["2026-02-30T10:00:00.000Z", "2026-13-01T10:00:00.000Z"])
def test_update_refuses_a_day_that_no_calendar_has(day: str) -> None:
    """A due date in the form that is sent is refused where the calendar has no such day."""
    with pytest.raises(InvalidUpdateError, match="is no such day"):
        TaskUpdate(id="opp_a", due_date=day)
    assert TaskUpdate(id="opp_a", due_date="2026-02-28T10:00:00.000Z").changes() == {
        "dueDate": "2026-02-28T10:00:00.000Z"
    }


def test_every_field_has_its_api_name() -> None:
    """An update sends every field under its name in the API."""
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


def test_update_reports_all_its_problems() -> None:
    """An invalid update reports all of its problems at once."""
    with pytest.raises(InvalidUpdateError) as caught:
        TaskUpdate(id="a b", due_date="2026-01-31", priority="urgent", done="maybe")
    assert [problem.field for problem in caught.value.problems] == [
        "id", "dueDate", "priority", "done",
    ]  # fmt: skip
    assert "'urgent'" in str(caught.value)


def test_more_than_six_media_are_refused() -> None:
    """An update with more than six images and videos is refused."""
    urls = tuple(f"https://a.example/{n}" for n in range(4))
    with pytest.raises(InvalidUpdateError, match="8 images and videos: a task takes 6"):
        TaskUpdate(id="a", images=urls, videos=urls)


def test_task_keeps_its_unknown_fields() -> None:
    """A task keeps its unknown fields, and needs no field except its id."""
    task = Task({"_id": "opp_a", "userId": "usr_b", "content": "M", "new": 1})
    assert (task.id, task.assigned_to, task.message) == ("opp_a", "usr_b", "M")
    assert (task.title, task.due_date, task.priority, task.status) == (None, None, None, None)
    assert task.fields["new"] == 1


def test_result_reads_back_as_written() -> None:
    """A result reads back from its line as it was written."""
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


def test_row_without_a_request_has_no_attempts() -> None:
    """Its result counts no request, and tells the row's account and rule."""
    row = Row(3, 4, "opp_1", None, (), (), account="acme", rule="late")
    error = ErrorInfo("invalid_row", "no title")
    found = unsent(row, Outcome.INVALID, error)
    assert found == Result(
        row=3, id="opp_1", account="acme", outcome=Outcome.INVALID, attempts=0, at=found.at,
        error=error, rule="late",
    )  # fmt: skip


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff", b"nan"])
def test_text_that_is_not_json_is_refused(text: bytes) -> None:
    """Text that is not JSON raises a ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)
    with pytest.raises(ValueError, match=r".+"):
        parse_record(text, Result)


def test_now_is_utc_with_milliseconds() -> None:
    """The time for the files of a run is UTC with milliseconds, now or some seconds later."""
    for shown, after in ((now(), 0.0), (now(after=3600.0), 3600.0)):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown)
        moment = datetime.now(UTC) + timedelta(seconds=after)
        assert abs(datetime.fromisoformat(shown) - moment) < timedelta(seconds=0.9)
