"""The rows of each rule, by outcome."""

import pytest

from bulkupdate.journal import rules
from bulkupdate.journal.ledger import Ledger
from bulkupdate.models import Outcome, Result


def result(row: int, outcome: Outcome, rule: str | None) -> Result:
    return Result(row=row, id="a", outcome=outcome, attempts=1, at="", rule=rule)


def test_rows_are_counted_by_rule_and_last_outcome() -> None:
    """Each row counts once for its rule, with its last outcome; a row without a rule for none."""
    ledger = Ledger()
    assert ledger.rules() == {}
    ledger.record(
        result(2, Outcome.UPDATED, "Ben is away"),
        result(3, Outcome.FAILED, "Spread"),
        result(4, Outcome.UPDATED, None),
        result(1, Outcome.CONFLICT, "Ben is away"),
    )
    ledger.record(result(3, Outcome.UPDATED, "Spread"))
    assert ledger.rules() == {
        "Ben is away": {"updated": 1, "conflict": 1},
        "Spread": {"updated": 1},
    }


def test_rules_beyond_the_bound_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bounded number of rules, the rows of all others are counted together."""
    monkeypatch.setattr(rules, "MAX_RULES", 2)
    ledger = Ledger()
    names = ["a", "b", "c", "d", "a"]
    ledger.record(*(result(row, Outcome.UPDATED, name) for row, name in enumerate(names, 1)))
    counts = {name: found["updated"] for name, found in ledger.rules().items()}
    assert counts == {"a": 2, "b": 1, "others": 2}
