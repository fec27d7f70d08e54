"""What goes back of a task, after any history of writes."""

import itertools
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bulkupdate.errors import JournalError
from bulkupdate.journal import Image
from bulkupdate.models import Outcome
from bulkupdate.plan import LiveTasks
from bulkupdate.reader import Edit
from bulkupdate.session.overwritten import LoggedWrite, Overwritten, TakenBack, TaskKey, take_back

ORIGINAL = {"title": "A", "message": "A"}
RUNS = 3


class Write(NamedTuple):
    """A request of a run: its fields, whether the server applies it, and the outcome in the log."""

    run: int
    sent: dict[str, str]
    is_applied: bool
    outcome: Outcome | None
    rule: str = ""


fates = st.sampled_from(
    [
        (True, Outcome.UPDATED),
        (True, Outcome.UPDATED),
        (True, Outcome.UNCONFIRMED),
        (False, Outcome.UNCONFIRMED),
        (True, None),
        (False, None),
        (False, Outcome.FAILED),
    ]
)


def writes_of(values: str) -> st.SearchStrategy[Write]:
    """Writes that set fields to these letters."""
    sent = st.dictionaries(st.sampled_from([*ORIGINAL]), st.sampled_from(values), min_size=1)
    return st.builds(
        lambda run, sent, fate: Write(run, sent, *fate), st.integers(0, RUNS - 1), sent, fates
    )


writes = writes_of("ABC")


#: Number of images and results of the same millisecond.
paces = st.integers(1, 5)


class World:
    """A task, and runs that compare it before they write.

    Args:
        pace: number of images and results in a millisecond.
    """

    def __init__(self, pace: int) -> None:
        self._pace = pace
        self.task: dict[str, str] = dict(ORIGINAL)
        self.in_doubt: set[str] = set()
        #: Whether a request left no trace: neither an image, since it overwrote only values of its
        #: own run, nor a result.
        self.has_untold = False
        self.last: dict[str, str] = {}
        self._known = [LiveTasks(Path(f"{run}.live")) for run in range(RUNS)]
        self._rules: list[tuple[int, int, TaskKey, str]] = []
        #: Field → its values since the last write of another rule, before the last one of R.
        self.allowed = {name: {value} for name, value in ORIGINAL.items()}
        self._since = {name: {value} for name, value in ORIGINAL.items()}
        #: The fields that another rule has certainly written after R.
        self.overtaken: set[str] = set()
        self._moments = itertools.count()
        self._overwritten = Overwritten()

    def write(self, row: int, write: Write) -> None:
        """Make a request, as `run --compare` does."""
        changes = {name: value for name, value in write.sent.items() if value != self.task[name]}
        if not changes:
            return
        has_image = self._image(row, write.run, changes)
        if write.outcome is not Outcome.FAILED and (has_image or write.outcome):
            self._rewritten(write, changes)
        self.has_untold |= not has_image and write.outcome is None and write.is_applied
        if write.is_applied:
            self.task |= changes
        if write.outcome is not None or has_image:
            self._rules.append((write.run, row, TaskKey("", "opp_1"), write.rule))
        if write.outcome is not None:
            result = LoggedWrite(
                row=row, id="opp_1", at=self._now(), outcome=write.outcome, sent=changes
            )
            self._overwritten.add_results(write.run, [result])
        if write.outcome is Outcome.FAILED:
            self._known[write.run].wrote("opp_1", {}, {name: self.task[name] for name in changes})
        else:
            self.last |= changes
            is_certain = write.outcome is Outcome.UPDATED
            self.in_doubt = (
                self.in_doubt - changes.keys() if is_certain else {*self.in_doubt, *changes}
            )

    def _rewritten(self, write: Write, changes: dict[str, str]) -> None:
        """Note what R may go back to."""
        for name, value in changes.items():
            if write.rule == "R":
                self.allowed[name] = {*self._since[name]}
                self.overtaken.discard(name)
                self._since[name] |= {value} if write.is_applied else set()
            elif write.is_applied:
                self._since[name] = {value}
                self.overtaken |= {name} if write.outcome is Outcome.UPDATED else set()

    def _image(self, row: int, run: int, changes: dict[str, str]) -> bool:
        known = self._known[run]
        ours = known.find("opp_1").written
        foreign = {
            name: self.task[name]
            for name in changes
            if name not in ours or self.task[name] not in ours[name].chain[1:]
        }
        if foreign:
            image = Image(row=row, id="opp_1", at=self._now(), before=foreign, sent=changes)
            self._overwritten.add_images(run, [image])
        known.wrote("opp_1", {name: self.task[name] for name in changes}, changes)
        return bool(foreign)

    def _now(self) -> str:
        return f"2026-11-24T14:00:00.{next(self._moments) // self._pace:03}Z"

    def taken_back(self, *rules: str) -> TakenBack:
        """What goes back after all writes, or after those of some rules."""
        for one in self._rules:
            self._overwritten.add_rule(*one)
        for _, events in self._overwritten.tasks():
            return take_back(events, rules)
        return TakenBack({}, {}, {}, [], [], [])

    def close(self) -> None:
        """Close the files."""
        for known in self._known:
            known.close()
        self._overwritten.close()

    def holds(self, found: TakenBack) -> bool:
        """Whether a run would send what goes back."""
        return not self.conflicting(found)

    def conflicting(self, found: TakenBack) -> set[str]:
        """The fields in which what goes back does not expect what is there."""
        return {
            name
            for name, expected in found.expect.items()
            if self.task[name] not in (expected, found.values[name])
        }


def lived(history: list[Write], pace: int) -> tuple[World, TakenBack]:
    """The world after a history, and what goes back."""
    world = World(pace)
    for row, write in enumerate(history, 1):
        world.write(row, write)
    return world, world.taken_back()


@pytest.mark.slow
@given(st.lists(writes, max_size=8), paces)
@settings(max_examples=200)
def test_any_history_goes_back_to_its_beginning(history: list[Write], pace: int) -> None:
    """With no other hand in between, what goes back is what stood before, or it is not sent."""
    world, found = lived(history, pace)
    try:
        assume(not world.has_untold)
        assert not found.left_out
        assert not found.changed
        assert all(value == ORIGINAL[name] for name, value in found.values.items())
        different = {name for name, value in world.task.items() if value != ORIGINAL[name]}
        if not world.in_doubt:
            assert world.holds(found)
        # A row that would conflict is named.
        assert world.conflicting(found) <= {*found.doubtful}
        # A request in doubt that follows another one leaves one of two values.
        assert different <= found.values.keys()
    finally:
        world.close()


@given(st.lists(writes, min_size=1, max_size=6), st.sampled_from([*ORIGINAL]), paces)
def test_change_after_all_writes_is_never_overwritten(
    history: list[Write], name: str, pace: int
) -> None:
    """A task that another hand has changed since stays as it is."""
    world, found = lived(history, pace)
    try:
        world.task[name] = "Of another"
        assert name not in found.values or not world.holds(found)
    finally:
        world.close()


@pytest.mark.slow
@given(st.lists(st.tuples(writes, st.sampled_from(["R", "S"])), max_size=8), paces)
@settings(max_examples=200)
def test_write_of_another_rule_is_never_taken_back(
    history: list[tuple[Write, str]], pace: int
) -> None:
    """A field goes back to what another rule has left, if it has written, and no further."""
    world, _ = lived([write._replace(rule=rule) for write, rule in history], pace)
    try:
        found = world.taken_back("R")
        assume(not world.has_untold)
        assert not found.unknown
        for name, value in found.values.items():
            assert value in world.allowed[name]
        assert not found.values.keys() & world.overtaken
    finally:
        world.close()


# A run takes a value that it has left before for its own, also where another run has left it since.
# So the values after the change are others.
@given(
    st.lists(writes, max_size=4),
    st.lists(writes_of("DEF"), max_size=4),
    st.sampled_from([*ORIGINAL]),
    paces,
)
def test_change_between_writes_is_never_lost(
    first: list[Write], second: list[Write], name: str, pace: int
) -> None:
    """A field that was overwritten after another hand's change goes back to that change."""
    world, _ = lived(first, pace)
    try:
        world.task[name] = "Of another"
        world.last.clear()
        world.in_doubt.clear()
        for row, write in enumerate(second, len(first) + 1):
            world.write(row, write)
        found = world.taken_back()
        if name in world.last and name not in world.in_doubt:
            assert world.has_untold or found.values[name] == "Of another"
    finally:
        world.close()


def test_full_disk_is_an_error_of_the_journal() -> None:
    """What can't be stored or read back ends the undo; it is never left out in silence."""
    overwritten = Overwritten()
    overwritten.close()
    for work in (overwritten.tasks, overwritten.edits):
        with pytest.raises(JournalError, match="can't be sorted on disk"):
            list(work())
    with pytest.raises(JournalError, match="can't be sorted on disk"):
        overwritten.keep(Edit("opp_1", {"title": "Old"}))
