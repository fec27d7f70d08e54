"""An audit of a run after crashes, from the input, the log and the requests at the server."""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bulkupdate.models import task_of
from bulkupdate.sandbox.server import Seen


class Findings(NamedTuple):
    """The findings of an audit. All except `repeated` must be 0.

    A task is its account and its id.

    Attributes:
        lost: rows without a settled line in the log, or whose edit never reached the server.
        twice: rows with more than one settled line.
        sent_again: requests for rows that the log called settled when their session began.
        out_of_order: edits of a task that were applied after a later one, and tasks whose last
            edit isn't the file's last.
        repeated: requests in further sessions, for rows that were in flight when a session ended.
        foreign: requests for another task than that of the row, or with the key of another account,
            and lines of the log about another task.
    """

    lost: int
    twice: int
    sent_again: int
    out_of_order: int
    repeated: int
    foreign: int = 0

    @property
    def is_right(self) -> bool:
        """Whether no promise was broken."""
        return not any(self._replace(repeated=0))

    def plus(self, other: "Findings") -> "Findings":
        """The sums of both findings."""
        return Findings(*(a + b for a, b in zip(self, other, strict=True)))


def lines_in(log: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log. A torn last line is ignored."""
    text = log.read_text() if log.exists() else ""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def settled_rows(log: Path) -> Counter[int]:
    """The number of settled lines of each row."""
    return Counter(line["row"] for line in lines_in(log) if is_settled(line))


def is_settled(line: dict[str, Any]) -> bool:
    """Whether a line of a log settles its row: no stop of its lane ended the attempts."""
    was_refused = line.get("error", {}).get("type") == "unauthorized"
    return not line.get("cut_short") and not was_refused


class Audit:
    """An audit of one run over all its sessions.

    Args:
        tasks: the task of each row of the input, by number, as `task_of` tells it.
        log: the results log.
    """

    def __init__(self, tasks: dict[int, str], log: Path) -> None:
        self._tasks = tasks
        self._log = log
        self._settled: set[int] = set()
        self._session = 0
        self._sessions: dict[int, set[int]] = defaultdict(set)
        self._applied: dict[str, list[int]] = defaultdict(list)
        self._sent_again = 0
        self._foreign = 0

    def session_begins(self) -> None:
        """Remember the settled rows: they must not be requested any more."""
        self._session += 1
        self._settled = set(settled_rows(self._log))

    def saw(self, seen: Seen) -> None:
        """Record a request."""
        if not seen.body:
            return
        row = row_of(seen.body)
        self._sessions[row].add(self._session)
        self._sent_again += row in self._settled
        task = task_of(seen.account, seen.body["id"])
        self._foreign += task != self._tasks.get(row)
        if seen.applied:
            self._applied[task].append(row)

    @property
    def is_sending(self) -> bool:
        """Whether this session has sent a row."""
        return any(self._session in sessions for sessions in self._sessions.values())

    def findings(self) -> Findings:
        """The findings, after the run has ended."""
        settled = settled_rows(self._log)
        last = {task: row for row, task in sorted(self._tasks.items())}
        applied = {row for rows in self._applied.values() for row in rows}
        backwards = sum(
            later < earlier
            for rows in self._applied.values()
            for earlier, later in itertools.pairwise(rows)
        )
        wrong_end = sum(rows[-1] != last.get(task) for task, rows in self._applied.items())
        return Findings(
            lost=sum(row not in settled or row not in applied for row in self._tasks),
            twice=sum(count > 1 for count in settled.values()),
            sent_again=self._sent_again,
            out_of_order=backwards + wrong_end,
            repeated=sum(len(sessions) - 1 for sessions in self._sessions.values()),
            foreign=self._foreign + sum(map(self._is_foreign, lines_in(self._log))),
        )

    def _is_foreign(self, line: dict[str, Any]) -> bool:
        """Whether a line of the log is about another task than that of its row."""
        return task_of(line.get("account", ""), line["id"]) != self._tasks.get(line["row"])


def row_of(body: dict[str, str]) -> int:
    """The number of the row of a request, which is in its title."""
    return int(body["title"].removeprefix("row "))
