"""A plan: what would change, task by task. Nothing is sent."""

from collections import Counter
from collections.abc import (
    Iterable,
    Iterator,
)
from dataclasses import dataclass, field
from datetime import tzinfo
from itertools import islice
from typing import Any

from bulkupdate.errors import RunStoppedError, setting
from bulkupdate.lemlist.team import Team
from bulkupdate.plan import LiveTasks, People
from bulkupdate.plan.rules import Evaluation
from bulkupdate.session.settings import ChangeLimit
from bulkupdate.session.sidebyside import Lines
from bulkupdate.session.threads import in_thread
from bulkupdate.stop import Stop

#: Number of conflicts that are kept as examples.
EXAMPLES = 20

#: Number of accounts that a message names.
_NAMED = 5

#: What is added up over accounts.
_ADDED = (
    "rows",
    "listed",
    "tasks",
    "touched",
    "requests",
    "already",
    "unchanged",
    "invalid_count",
    "completes",
    "reading",
    "conflicts",
    "fields",
    "expected",
    "owners",
    "clears",
    "unknown",
)


@dataclass(frozen=True, slots=True)
class Change:
    """What would change in one task.

    Attributes:
        id: the id of the task.
        title: its title now.
        before: the values now, by field; "" for empty, and left out where no task shows the field.
        after: the values that the plan leaves.
        expect: the values that the task must have when the plan is sent: those that it overwrites,
            and what the rows expect of other fields.
        rule: the name of the rule that changes it; None for a file of edits.
        account: the name of its account; "" where there is only one.
    """

    id: str
    title: str
    before: dict[str, Any]
    after: dict[str, Any]
    expect: dict[str, Any]
    rule: str | None = None
    account: str = ""


@dataclass(slots=True)
class Plan:
    """A plan: what a file of edits would change.

    A plan of several accounts adds up what is known of each, which stands in `accounts`.

    Attributes:
        people: the members of the team.
        zone: the time zone for people.
        rows: number of rows.
        listed: number of tasks that the server lists, as far as the list was read.
        is_whole: whether the list was read to its end, as some task of the file was not in it.
        tasks: number of tasks that would change.
        touched: number of tasks that would get a request: some may be as before in the end.
        requests: number of requests that the file would take.
        already: number of rows whose task is as they want it.
        unchanged: number of rows that set nothing.
        conflicts: number of rows that would not be sent, by the kind of conflict.
        examples: the first of them: row, id and why.
        invalid: the first rows that name people who are no members: row, id and why.
        invalid_count: number of these rows.
        fields: number of tasks by the field that changes.
        expected: number of tasks by the field of which something is expected.
        owners: number of tasks by their new owner.
        clears: number of tasks by the field that is emptied.
        completes: number of tasks that would be completed.
        unknown: number of tasks by the field that no task shows, so that it can't be taken back.
        reading: number of requests that the reading took.
        notes: what could not be read, and what is odd about a night.
        evaluation: what the rules select and change; None for a file of edits.
        refused: why a run of the rules would be refused, unless its caller accepts it.
        account: the name of the account; "" where there is only one, or for several together.
        accounts: the plan of each account whose tasks could be read, in the order of their first
            rows; empty with one key.
        unread: why the tasks of the other accounts can't be read, by account.
        has_accounts: whether the rows are of accounts.
    """

    people: People
    zone: tzinfo
    rows: int = 0
    listed: int = 0
    is_whole: bool = True
    tasks: int = 0
    touched: int = 0
    requests: int = 0
    already: int = 0
    unchanged: int = 0
    conflicts: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str, str]] = field(default_factory=list)
    invalid: list[tuple[int, str, str]] = field(default_factory=list)
    invalid_count: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    owners: Counter[str] = field(default_factory=Counter)
    clears: Counter[str] = field(default_factory=Counter)
    completes: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    reading: int = 0
    notes: list[str] = field(default_factory=list)
    evaluation: Evaluation | None = None
    refused: str = ""
    account: str = ""
    accounts: dict[str, "Plan"] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    has_accounts: bool = False
    _team: Team | None = None
    _live: LiveTasks | None = None
    _kept: Lines | None = None

    def changes(self) -> Iterator[Change]:
        """What would change, task by task, in the order of the first rows of each account.

        Raises:
            JournalError: the live tasks can't be read.
        """
        for part in self.accounts.values():
            yield from part.changes()
        for kept in self._kept or ():
            after = {name: _sent(value) for name, value in kept["after"].items()}
            yield Change(**{**kept, "after": after})
        if self._live is not None:
            yield from self._live_changes(self._live)

    def _live_changes(self, live: LiveTasks) -> Iterator[Change]:
        edits = self.evaluation.edits if self.evaluation is not None else ()
        rules = {edit.id: edit.rule for edit in edits}
        for task_id, ours in live.written():
            known = {name: one for name, one in ours.items() if one.chain[0] != one.chain[-1]}
            if not known:
                continue
            task = live.find(task_id).task
            title = task.fields.get("title") if task is not None else None
            expect = {name: one.chain[0] for name, one in ours.items() if one.chain[0] is not None}
            before = {name: value for name, value in expect.items() if name in known}
            title = before.get("title", title)
            after = {name: _sent(one.chain[-1]) for name, one in known.items()}
            title = title if isinstance(title, str) else ""
            rule = rules.get(task_id)
            yield Change(task_id, title, before, after, expect, rule, self.account)

    def refusal(self, max_changes: ChangeLimit | None, *, skip_invalid: bool) -> str:
        """Why a run of the file would send nothing; "" if it would.

        Args:
            max_changes: the number or share of the listed tasks, of each account, that may change;
                None for any.
            skip_invalid: whether invalid rows are left out.
        """
        if self.accounts:
            parts = self.accounts.values()
            whys = [
                (one.account, one.refusal(max_changes, skip_invalid=skip_invalid)) for one in parts
            ]
            refused = [f"{name}: {why}" for name, why in whys if why]
            return "; ".join([*refused[:_NAMED], *["…"][: len(refused) > _NAMED]])
        if self.invalid_count and not skip_invalid:
            how = setting("skip_invalid")
            return f"enter {self.people.to_enter}, or leave such rows out with {how}"
        if max_changes is None:
            return ""
        return max_changes.refusal(self.touched, self.listed if self.is_whole else None)

    @property
    def why_unread(self) -> str:
        """Why the tasks of accounts can't be read, in words; "" if all can."""
        shown = [f"account {name}: {why}" for name, why in islice(self.unread.items(), _NAMED)]
        return "; ".join([*shown, *["…"][: len(self.unread) > _NAMED]])

    def _sum_up(self) -> None:
        for change in self.changes():
            self.tasks += 1
            self.fields.update(change.after.keys())
            self.expected.update(change.expect.keys())
            self.clears.update(name for name, value in change.after.items() if value in ("", ()))
            self.completes += change.after.get("done") is True
            self.unknown.update(name for name in change.after if name not in change.before)
            if owner := change.after.get("assignedTo"):
                self.owners[owner] += 1

    async def _keep(self, lines: Lines, stop: Stop) -> None:
        """Keep the changes when the live tasks are no longer there."""
        await in_thread(stop, lines.write, _until(stop, self.changes()))
        self._live, self._kept = None, lines

    def _add(self, part: "Plan") -> None:
        """Add the plan of an account to that of all."""
        self.accounts[part.account] = part
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(part, name))
        if part.evaluation is not None:
            self.evaluation = self.evaluation or Evaluation(listed=0)
            self.evaluation.add(part.evaluation)
        if part.refused:
            why = f"{part.account}: {part.refused}"
            self.refused = f"{self.refused}; {why}" if self.refused else why
        self.is_whole &= part.is_whole
        self.examples += part.examples[: EXAMPLES - len(self.examples)]
        self.invalid += part.invalid[: EXAMPLES - len(self.invalid)]
        self.notes += [f"{part.account}: {note}" for note in part.notes]


def _sent(value: Any) -> Any:
    """A value that was kept as JSON, as an update has it."""
    return tuple(value) if isinstance(value, list) else value


def _until(stop: Stop, changes: Iterable[Change]) -> Iterator[Change]:
    """Some changes, as long as no stop is set.

    Raises:
        RunStoppedError: it is set.
    """
    for change in changes:
        if stop.is_set:
            raise RunStoppedError(stop.text or "stopped")
        yield change
