"""The causes of unsuccessful rows: each once, with its number of rows and one example."""

import re
from collections import Counter
from collections.abc import Iterable

import msgspec

from bulkupdate.models import SUCCESSES, Outcome, Result

#: Number of causes to keep apart. Rows with further causes are counted together.
_CAUSES = 100

#: Number of characters of a message that distinguish causes.
_TELLING = 200

#: Parts of a message that differ between rows with one cause: quotations, and words with a digit.
_PARTICULARS = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|[\w-]*\d[\w-]*")

#: The `type` of all causes after the first `_CAUSES`.
OTHERS = "others"


#: Types of errors whose message begins with the field that they are about.
_OF_FIELDS = frozenset({"changed_since"})


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A cause: rows with the same outcome for the same reason.

    Attributes:
        outcome: the outcome of these rows; never a success.
        type: the type of their error, from the documented list.
        status: the HTTP status of the last response, or None without a response.
        count: number of these rows.
        row: the number of one of these rows, from 1.
        id: the task of that row.
        message: the error message of that row, from the server or from bulkupdate.
    """

    outcome: Outcome
    type: str
    status: int | None
    count: int
    row: int
    id: str
    message: str


class Causes:
    """Collector of the causes in results. It keeps a bounded number of them."""

    def __init__(self) -> None:
        self._first: dict[tuple[object, ...], Result] = {}
        self._counts: Counter[tuple[object, ...]] = Counter()

    def add(self, result: Result) -> None:
        """Add the result of a row. A success is ignored."""
        if result.outcome in SUCCESSES:
            return
        cause = _cause_of(result)
        if cause not in self._first:
            if len(self._first) >= _CAUSES:
                cause = (OTHERS, result.outcome)
            self._first.setdefault(cause, result)
        self._counts[cause] += 1

    def listed(self) -> list[Cause]:
        """All causes, the most frequent first."""
        return [self._listed(cause, count) for cause, count in self._counts.most_common()]

    def _listed(self, cause: tuple[object, ...], count: int) -> Cause:
        example = self._first[cause]
        error = example.error
        is_distinct = cause[0] != OTHERS
        return Cause(
            outcome=example.outcome,
            type=error.type if is_distinct and error else OTHERS,
            status=example.status if is_distinct else None,
            count=count,
            row=example.row,
            id=example.id,
            message=error.message if error else "",
        )


def causes_of(results: Iterable[Result]) -> list[Cause]:
    """The causes in some results, the most frequent first."""
    causes = Causes()
    for result in results:
        causes.add(result)
    return causes.listed()


def kind_of(cause: Cause) -> tuple[object, ...]:
    """What causes of several runs have in common that are alike, as a key."""
    words = cause.message
    if cause.type in _OF_FIELDS:
        # The rest of the message has the values of one task.
        words = words.partition(" ")[0]
    elif cause.id:
        words = words.replace(cause.id, "…")
    return cause.outcome, cause.type, cause.status, _PARTICULARS.sub("…", words)[:_TELLING]


def _cause_of(result: Result) -> tuple[object, ...]:
    error = result.error
    if error is None:
        return result.outcome, None, result.status, ""
    if error.field:
        # The message has the values of the row's task, in which no two rows are alike.
        return result.outcome, error.type, result.status, error.field
    words = error.message
    if result.id:
        words = words.replace(result.id, "…")
    return result.outcome, error.type, result.status, _PARTICULARS.sub("…", words)[:_TELLING]
