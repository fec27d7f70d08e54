"""Tests of the reference of rules: its examples are files, and its tables name every key."""

import re
from datetime import datetime

import pytest

from bulkupdate.plan.rules import file, read_rules
from tests.plan.rules.office import ANNA, CARL, NOW, PARIS, changed, night, task
from tests.support.pages import DOCS, Block, blocks

PAGE = DOCS / "reference" / "rules.md"
EXAMPLES = [block for block in blocks(PAGE) if block.kind == "toml"]
KEYS = {
    "The file": file._FILE_KEYS,
    "A rule": file._RULE_KEYS,
    "select": file._SELECT_KEYS,
    "set": file._SET_KEYS,
}

TASKS = [
    task(1, title="Call Zoe back", campaignId="cam_spring2026"),
    task(2, "usr_left", type="manual", title="Offer"),
    task(3, "usr_left", "2026-03-20 09:00", title="Reminder"),
    task(4, ANNA, "2026-03-14 10:00", title="asap, please"),
    task(5, CARL, "2026-01-05 10:00", title="A reminder"),
    *(task(n, CARL, "2026-03-12 10:00", type="email", title="Mail") for n in range(6, 20)),
]

#: The tasks that change, by the file on the page, on a Wednesday in March.
CHANGED = {
    "nightly.toml": [],
    "clients.toml": [1, 2, 5],
    "texts.toml": [1, 4],
    "left.toml": [2, 3],
    "overdue.toml": [1, 2, 5],
    "free-days.toml": [4],
    "close.toml": [5],
    "campaign.toml": [1],
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda block: block.title)
def test_example_changes_the_tasks_that_its_words_say(example: Block) -> None:
    """Each file of the page is read, settles, and does what stands above it."""
    assert sorted(changed(night(example.text, TASKS, head=""))) == CHANGED[example.title]


def test_first_example_holds_between_its_days() -> None:
    """At Christmas, Ben's overdue calls go to Carl and Anna."""
    now = datetime(2026, 12, 22, 2, tzinfo=PARIS)
    tasks = [task(1), task(2), *(task(n, ANNA, type="email") for n in (3, 4))]
    found = changed(night(EXAMPLES[0].text, tasks, now, head=""))
    assert found == {n: {"assignedTo": CARL, "dueDate": "2026-12-22 09:00"} for n in (1, 2)}
    assert NOW.date() < read_rules("x", EXAMPLES[0].text.encode()).rules[0].since  # type: ignore[operator]


@pytest.mark.parametrize("title", KEYS)
def test_every_key_has_its_row(title: str) -> None:
    """A key that the reader accepts is in the table of its section, and no other one."""
    section = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    table = section.partition("| --- | --- |\n")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()]
    named = [name for row in rows for name in re.findall(r"`\[*(\w+)\]*`", row)]
    assert sorted(named) == sorted(KEYS[title])
