"""Why rows did not succeed, each cause once."""

from bulkupdate.journal.causes import Cause, causes_of
from bulkupdate.models import ErrorInfo, Outcome, Result


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


def test_rows_that_met_the_same_end_are_counted_together_the_most_frequent_first() -> None:
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


def test_ids_numbers_and_quotations_do_not_tell_causes_apart() -> None:
    messages = ("no opp_1 in 'a'", "no opp_2 in 'b'", 'no opp_3 in "c"', "no opp_4 in team 7")
    causes = causes_of(result(n, text) for n, text in enumerate(messages, 1))
    assert [cause.count for cause in causes] == [3, 1]
    assert causes[0].message == "no opp_1 in 'a'"


def test_long_quotations_and_apostrophes_tell_no_causes_apart() -> None:
    long = [f"title '{'x' * 300} {chr(97 + n)}': is too long" for n in range(5)]
    causes = causes_of(result(n, text) for n, text in enumerate(long, 1))
    assert [cause.count for cause in causes] == [5]
    other = ("can't find the owner, isn't here", "can't take the date, isn't here")
    assert len(causes_of(result(n, text) for n, text in enumerate(other, 1))) == 2


def test_another_outcome_or_status_is_another_cause() -> None:
    causes = causes_of(
        [
            result(1, "x"),
            result(2, "x", status=422),
            result(3, "x", outcome=Outcome.UNCONFIRMED),
            result(4, "x", kind="timeout"),
        ]
    )
    assert len(causes) == 4


def test_a_server_that_says_something_else_each_time_takes_no_memory() -> None:
    words = ("".join(chr(97 + int(digit)) for digit in str(n)) for n in range(10_000))
    causes = causes_of(result(n, text) for n, text in enumerate(words, 1))
    assert len(causes) == 101
    assert causes[0].type == "others"
    assert sum(cause.count for cause in causes) == 10_000
