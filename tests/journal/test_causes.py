"""Tests of the causes of unsuccessful rows."""

from bulkupdate.journal.causes import Cause, causes_of
from bulkupdate.models import ErrorInfo, Outcome, Result, unsent
from tests.support import fakes


def result(
    row: int,
    message: str,
    *,
    outcome: Outcome = Outcome.FAILED,
    kind: str = "bad_request",
    status: int | None = 400,
) -> Result:
    return Result(
        row=row,
        id=f"opp_{row}",
        outcome=outcome,
        status=status,
        attempts=1,
        at="",
        error=ErrorInfo(kind, message),
    )


def test_rows_with_one_cause_are_counted_together() -> None:
    """Rows with the same cause are counted together, the most frequent cause first."""
    causes = causes_of(
        [
            result(1, "Bad team"),
            result(2, "Task not found", kind="not_found", status=404),
            result(3, "Task not found", kind="not_found", status=404),
            Result(row=4, id="d", outcome=Outcome.UPDATED, attempts=1, at=""),
        ]
    )
    assert causes[0] == Cause(
        outcome=Outcome.FAILED,
        type="not_found",
        status=404,
        count=2,
        row=2,
        id="opp_2",
        message="Task not found",
    )
    assert [(cause.message, cause.count) for cause in causes] == [
        ("Task not found", 2),
        ("Bad team", 1),
    ]


def test_ids_numbers_and_quotations_separate_no_causes() -> None:
    """Messages that differ only in ids, numbers or quoted text count as one cause."""
    messages = ("no opp_1 in 'a'", "no opp_2 in 'b'", 'no opp_3 in "c"', "no opp_4 in team 7")
    causes = causes_of(result(n, text) for n, text in enumerate(messages, 1))
    assert [cause.count for cause in causes] == [3, 1]
    assert causes[0].message == "no opp_1 in 'a'"


def test_long_quotations_and_apostrophes_separate_causes_correctly() -> None:
    """Quoted text of any length separates no causes, and an apostrophe starts no quote."""
    long = [f"title '{'x' * 300} {chr(97 + n)}': is too long" for n in range(5)]
    causes = causes_of(result(n, text) for n, text in enumerate(long, 1))
    assert [cause.count for cause in causes] == [5]
    other = ("can't find the owner, isn't here", "can't take the date, isn't here")
    assert len(causes_of(result(n, text) for n, text in enumerate(other, 1))) == 2


def test_other_outcome_or_status_is_another_cause() -> None:
    """Rows that differ in outcome, status or error type have different causes."""
    causes = causes_of(
        [
            result(1, "x"),
            result(2, "x", status=422),
            result(3, "x", outcome=Outcome.UNCONFIRMED),
            result(4, "x", kind="timeout"),
        ]
    )
    assert len(causes) == 4


def test_ever_changing_messages_take_bounded_memory() -> None:
    """A server whose messages all differ fills 100 causes, and the rest count as others."""
    words = ("".join(chr(97 + int(digit)) for digit in str(n)) for n in range(10_000))
    causes = causes_of(result(n, text) for n, text in enumerate(words, 1))
    assert len(causes) == 101
    assert causes[0].type == "others"
    assert sum(cause.count for cause in causes) == 10_000


def test_conflicts_of_one_field_are_one_cause() -> None:
    """What a task holds instead separates no conflicts, and the field does."""

    def conflict(row: int, field: str, found: str) -> Result:
        error = ErrorInfo("changed_since", f"{field} is {found}", field=field, found=found)
        return unsent(fakes.row(row), Outcome.CONFLICT, error)

    causes = causes_of(
        [
            conflict(1, "title", "Call Anna"),
            conflict(2, "message", "Hello"),
            conflict(3, "title", "Write to Ben"),
            result(4, "title is wrong", outcome=Outcome.CONFLICT, kind="unknown", status=None),
        ]
    )
    assert [(cause.type, cause.count, cause.message) for cause in causes] == [
        ("changed_since", 2, "title is Call Anna"),
        ("changed_since", 1, "message is Hello"),
        ("unknown", 1, "title is wrong"),
    ]
