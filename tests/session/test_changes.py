"""How the changes of an edited input are told."""

from array import array

import pytest

from bulkupdate.journal import Changes
from bulkupdate.session.resume import _described


def described(changed: int = 0, added: int = 0, removed: int = 0) -> str:
    """The text for these numbers of rows."""
    of_kind = {"changed": changed, "added": added, "removed": removed}
    rows = {kind: list(range(1, number + 1)) for kind, number in of_kind.items()}
    return _described(Changes(**rows, kept=array("I")))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"changed": 1}, "1 row changed (1)"),
        ({"changed": 2, "added": 1}, "2 rows changed (1, 2), 1 row added (1)"),
        ({"removed": 2}, "2 rows removed (1, 2, by their old numbers)"),
        ({"added": 10}, "10 rows added (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)"),
        ({"added": 11}, "11 rows added (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …)"),
        ({}, "the same rows, written or ordered in another way"),
    ],
)
def test_changed_rows_are_counted_and_named(changes: dict[str, int], says: str) -> None:
    """The message about an edited input counts the rows and names the first ten of each kind."""
    assert described(**changes) == says
