"""The quick reading of CSV cells says what the slow one does, or leaves it to that."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkupdate import cells as cells_module
from bulkupdate.cells import CellReader
from bulkupdate.columns import columns
from bulkupdate.reader import _cell_values, _row

HEADER = ("id", "assignedTo", "dueDate", "title", "message", "priority", "done", "bulkupdate_row")

CELLS = st.one_of(
    st.sampled_from([
        "", " ", "\t", "a", " a ", "a b", "é", "opp_1", "1a", "-", "_id", "<clear>", " <CLEAR> ",
        "<x", "0", "2", "3", "low", " High", "none", "yes", "No", "true", "1", "x\u2028y", "\x00",
        "2026-01-31T07:58:00Z", "2026-01-31T07:58:00.000Z", "2026-01-31T07:58:00.123Z",
        "2026-01-31T24:00:00.000Z", "2026-13-31T07:58:00.000Z", "2026-01-31T07:58:00,000Z",
        "2026-W05-6T07:58:00.000Z", "2026-01-31t07:58:00.000Z", "2026-01-31T08:58:00.000+01:00",
        "2026-01-31", "2026-01-31T07:58", "0000-01-31T07:58:00.000Z", "9999-12-31T23:59:59.999Z",
    ]),
    st.text(max_size=12).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)),
)  # fmt: skip


@given(st.lists(CELLS, min_size=8, max_size=8))
@example(["opp_1", "usr", "", "", "", "", "", "x"])
def test_both_ways_of_reading_a_row_agree(row: list[str]) -> None:
    quick = CellReader(HEADER).update(row)
    values, problems = _cell_values(row, columns(HEADER))
    slow = _row(1, 2, values, problems, tuple(row))
    assert (quick is None) == (slow.update is None)
    if quick is not None and slow.update is not None:
        assert quick.encode() == slow.update.encode()
        assert quick.changes() == slow.update.changes()


@pytest.mark.parametrize("row", [[], ["a"], ["a"] * 7, ["a"] * 9])
def test_a_row_of_another_width_is_left_to_the_slow_way(row: list[str]) -> None:
    assert CellReader(HEADER).update(row) is None


def test_what_is_remembered_is_bounded_and_stays_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_module, "_REMEMBERED", 3)
    reader = CellReader(("id", "assignedTo"))
    for number in [*range(10), *range(10)]:
        update = reader.update([f"opp_{number}", f" usr_{number} "])
        assert update is not None
        assert (update.id, update.assigned_to) == (f"opp_{number}", f"usr_{number}")
    memory = reader._readings[1].__self__  # type: ignore[attr-defined]
    assert len(memory) <= 3
