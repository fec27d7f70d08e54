"""A short version of `python -m tests.chaos`, and that its audit would see what it looks for."""

import asyncio
import json
from pathlib import Path

import pytest

from bulkupdate.models import task_of
from bulkupdate.sandbox.server import Seen
from tests.chaos.accounts import AccountsRig, chaos_of_accounts
from tests.chaos.audit import Audit, Findings, settled_rows
from tests.chaos.compared import compared
from tests.chaos.nights import nights
from tests.chaos.proxy import verdicts
from tests.chaos.rig import WORKERS, chaos

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("seed", "busy"), [(11, 0.0), (12, 0.5)])
def test_crashes_lose_repeat_and_reorder_nothing(seed: int, busy: float) -> None:
    """A run crashed at any instant loses, reorders and sends again no settled row."""
    crashes = 10
    findings, events = asyncio.run(chaos(crashes, seed, rows=400, busy=busy))
    assert events["kill -9"] >= crashes
    assert findings._replace(repeated=0) == Findings(0, 0, 0, 0, 0)
    assert findings.repeated <= crashes * WORKERS


def test_crashes_mix_up_no_accounts() -> None:
    """A run of many accounts that crashes keeps each promise, and each row to its own account."""
    crashes, accounts = 6, 8
    findings, events = asyncio.run(chaos_of_accounts(crashes, 13, rows=500, accounts=accounts))
    assert events["kill -9"] >= crashes
    assert events["killed while sending"] > 1
    assert findings._replace(repeated=0) == Findings(0, 0, 0, 0, 0)
    assert findings.repeated <= events["kill -9"] * AccountsRig.workers * accounts


@pytest.mark.parametrize("tasks", [3000, 40, 1])
def test_no_answer_is_taken_for_another_rows(tasks: int) -> None:
    """Answers that come twice, late, out of turn or in part never give a row a wrong outcome."""
    found = asyncio.run(verdicts(3000 if tasks > 1 else 600, 21, tasks=tasks))
    assert min(found.spoilt.values()) > 5
    assert len(found.spoilt) == 7
    assert (found.wrongly_updated, found.wrongly_failed) == (0, 0)
    assert set(found.outcomes) == {"updated", "failed"}


def test_crashed_comparison_is_taken_back_whole() -> None:
    """After crashes and edits by another hand, an undo leaves each field as that hand left it."""
    faults, events = asyncio.run(compared(6, 31))
    assert events["kill -9"] >= 6
    assert faults == []


def test_killed_nights_lose_nothing_and_evaluate_nothing_twice() -> None:
    """A night killed at any moment changes each of its tasks once, by the rows it began with."""
    faults, events = asyncio.run(nights(8, 1))
    assert events["kill -9"] >= 8
    assert min(events["killed while sending"], events["killed while edits are written"]) > 0
    assert faults == []


def seen(row: int, task: str = "a", *, applied: bool = True, account: str = "") -> Seen:
    body = {"id": task, "title": f"row {row}"}
    sent = Seen(0.0, "PATCH", "/api/tasks", 200, None, body, body if applied else None)
    return sent._replace(account=account)


def settle(log: Path, *rows: int, **more: object) -> None:
    with log.open("a") as file:
        file.writelines(json.dumps({"row": row, "id": "a", **more}) + "\n" for row in rows)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_audit_counts_rows_that_are_lost(log: Path) -> None:
    """The audit counts as lost each row that is not settled or whose edit is not applied."""
    audit = Audit({1: "a", 2: "b", 3: "c", 4: "d"}, log)
    audit.session_begins()
    for request in (seen(1, "a"), seen(2, "b"), seen(3, "c", applied=False)):
        audit.saw(request)
    settle(log, 1, 3)
    settle(log, 4, cut_short=True)
    assert audit.findings().lost == 3


def test_audit_counts_rows_settled_or_sent_twice(log: Path) -> None:
    """The audit counts rows that are settled twice or sent again after they are settled."""
    audit = Audit({1: "a", 2: "b"}, log)
    audit.session_begins()
    audit.saw(seen(1, "a"))
    audit.saw(seen(2, "b"))
    settle(log, 1)
    log.write_text(log.read_text() + '{"row": 2')
    assert set(settled_rows(log)) == {1}
    audit.session_begins()
    log.write_text('{"row": 1, "id": "a"}\n')
    audit.saw(seen(1, "a"))
    audit.saw(seen(2, "b"))
    settle(log, 1)
    settle(log, 2, id="b")
    assert audit.findings() == Findings(lost=0, twice=1, sent_again=1, out_of_order=0, repeated=2)


def test_audit_counts_rows_out_of_order(log: Path) -> None:
    """The audit counts edits applied after a later one, and tasks with a wrong last edit."""
    audit = Audit({1: "a", 2: "a", 3: "a", 4: "b", 5: "b"}, log)
    audit.session_begins()
    for row in (1, 1, 2, 1, 3):
        audit.saw(seen(row, "a"))
    assert audit.findings().out_of_order == 1
    audit.saw(seen(4, "b"))
    assert audit.findings().out_of_order == 2


def test_audit_counts_what_is_of_another_task_or_account(log: Path) -> None:
    """The audit counts requests with the key of another account, and lines about another task."""
    tasks = {1: task_of("acme", "a"), 2: task_of("globex", "a"), 3: task_of("acme", "b")}
    audit = Audit(tasks, log)
    audit.session_begins()
    for row, task, account in ((1, "a", "acme"), (2, "a", "globex"), (3, "b", "acme")):
        audit.saw(seen(row, task, account=account))
    settle(log, 1, account="acme")
    settle(log, 2, account="globex")
    settle(log, 3, account="acme", id="b")
    assert audit.findings() == Findings(0, 0, 0, 0, 0, foreign=0)
    audit.saw(seen(2, "a", account="acme", applied=False))
    assert audit.findings().foreign == 1
    audit.saw(seen(1, "b", account="acme", applied=False))
    assert audit.findings().foreign == 2
    settle(log, 2, account="acme", cut_short=True)
    assert audit.findings().foreign == 3
    assert not audit.findings().is_right


def test_audit_keeps_the_order_of_each_account(log: Path) -> None:
    """Rows of one id in two accounts have no order; those of one account have."""
    tasks = {1: task_of("acme", "a"), 2: task_of("globex", "a"), 3: task_of("acme", "a")}
    audit = Audit(tasks, log)
    for row, account in ((2, "globex"), (1, "acme"), (3, "acme")):
        audit.saw(seen(row, account=account))
    assert audit.findings().out_of_order == 0
    audit.saw(seen(1, account="acme"))
    assert audit.findings().out_of_order == 2


def test_line_of_a_refused_key_settles_nothing(log: Path) -> None:
    """A row whose key was refused is sent again by the next session."""
    settle(log, 1, error={"type": "unauthorized"})
    settle(log, 2, error={"type": "bad_request"})
    assert set(settled_rows(log)) == {2}
