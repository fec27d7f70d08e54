"""Why rows did not succeed: each cause once, with how many rows have it, and one of them."""

import re
from collections import Counter
from collections.abc import Iterable

import msgspec

from bulkupdate.models import SUCCESSES, Outcome, Result

#: Causes that are told apart. Rows of further ones are counted together.
_CAUSES = 100

#: The longest part of a message that tells causes apart.
_TELLING = 200

#: What differs from row to row in messages that say the same: quotations, and words with a digit.
_PARTICULARS = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|[\w-]*\d[\w-]*")

#: The `type` of the causes that were too many to be told apart.
OTHERS = "others"


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that ended in one way for one reason.

    Attributes:
        outcome: of these rows; none of the successes.
        type: of their error, from the documented list.
        status: the HTTP status of the last answer, where there was one.
        count: how many there are.
        row: the number of one of them, from 1.
        id: its task.
        message: what was said of it, by the server or by us.
    """

    outcome: Outcome
    type: str
    status: int | None
    count: int
    row: int
    id: str
    message: str


class Causes:
    """Takes in results, and keeps a bounded part of what they say."""

    def __init__(self) -> None:
        self._first: dict[tuple[object, ...], Result] = {}
        self._counts: Counter[tuple[object, ...]] = Counter()

    def add(self, result: Result) -> None:
        """Take in the result of a row; one that is a success says nothing."""
        if result.outcome in SUCCESSES:
            return
        cause = _cause_of(result)
        if cause not in self._first:
            if len(self._first) >= _CAUSES:
                cause = (OTHERS, result.outcome)
            self._first.setdefault(cause, result)
        self._counts[cause] += 1

    def listed(self) -> list[Cause]:
        """Every cause, the one that most rows have first."""
        return [self._listed(cause, count) for cause, count in self._counts.most_common()]

    def _listed(self, cause: tuple[object, ...], count: int) -> Cause:
        example = self._first[cause]
        error = example.error
        is_told = cause[0] != OTHERS
        return Cause(
            outcome=example.outcome,
            type=error.type if is_told and error else OTHERS,
            status=example.status if is_told else None,
            count=count,
            row=example.row,
            id=example.id,
            message=error.message if error else "",
        )


def causes_of(results: Iterable[Result]) -> list[Cause]:
    """The causes that some results have, the one that most of them have first."""
    causes = Causes()
    for result in results:
        causes.add(result)
    return causes.listed()


def _cause_of(result: Result) -> tuple[object, ...]:
    error = result.error
    if error is None:
        return result.outcome, None, result.status, ""
    words = error.message
    if result.id:
        words = words.replace(result.id, "…")
    return result.outcome, error.type, result.status, _PARTICULARS.sub("…", words)[:_TELLING]
