"""The runs in a folder as lines of text, and as records for programs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

from bulkupdate.errors import ConfigError, RunDirectoryError, count
from bulkupdate.journal import End, PastRun, Removed, Unread
from bulkupdate.models import SUCCESSES, Outcome
from bulkupdate.reader import zone
from bulkupdate.ui.ended import named, stopped_accounts
from bulkupdate.ui.messages import cut, printable
from bulkupdate.ui.table import table

#: Number of characters to show of the reason why a run ended.
_REASON_WIDTH = 120

#: Most directories that are named in one line.
_SHOWN = 10

#: The end of a run in a few words. The others give a number or a reason.
END_WORDS = {
    End.NOTHING_TO_DO: "nothing to do",
    End.DONE: "done",
    End.IN_USE: "in use",
    End.ROWS_LEFT: "rows left",
    End.UNSUCCESSFUL: "did not go through",
    End.REFUSED: "refused",
    End.KILLED: "killed",
    End.STOPPED: "stopped",
}


class Night(NamedTuple):
    """A run of a folder, with what a list shows of it.

    Attributes:
        path: its run directory.
        began: when it began, or the moment that it was told to take for that time.
        end: how it ended.
        counts: number of rows by outcome, and `unprocessed`.
        changed: number of tasks that it has changed; None where this was not counted.
        exit_code: the exit code of its last session; None while it is running.
        why: why it ended, for people.
        zone: the name of the time zone of its input; "" without one.
        last_session: when its last session began, UTC, if it was resumed; else "".
        ended: when it ended, UTC; "" if it has not.
        accounts: number of accounts that have rows; 0 in a run with one key.
        stopped: the names of those that stopped before their end.
    """

    path: Path
    began: datetime
    end: End
    counts: dict[str, int]
    changed: int | None
    exit_code: int | None
    why: str
    zone: str
    last_session: str
    ended: str
    accounts: int
    stopped: list[str]

    @property
    def rows(self) -> int:
        """Number of its rows."""
        return sum(self.counts.values())


def night_of(run: PastRun) -> Night:
    """What a list shows of a run."""
    summary = run.summary
    zone_name = summary.input.options.get("timezone")
    return Night(
        path=run.path,
        began=run.began,
        end=run.end,
        counts=run.counts,
        changed=_changed(run),
        exit_code=summary.exit_code,
        why=_why(run),
        zone=zone_name if isinstance(zone_name, str) else "",
        last_session=summary.started if summary.resumed else "",
        ended=summary.ended or "",
        accounts=len(summary.accounts),
        stopped=[*stopped_accounts(summary)],
    )


def in_order(nights: Iterable[Night]) -> list[Night]:
    """Runs in the order in which they began."""
    return sorted(nights, key=lambda one: (one.began, str(one.path)))


class Clock(NamedTuple):
    """A time zone, and its name for people."""

    zone: tzinfo
    name: str

    @classmethod
    def of(cls, nights: Sequence[Night], wanted: str | None = None) -> "Clock":
        """The time zone that is wanted; else that of the newest run that has one; else UTC.

        Args:
            nights: the runs, the newest last.
            wanted: the name of a time zone.

        Raises:
            ConfigError: there is no such time zone.
        """
        if wanted is not None:
            return cls(zone(wanted), wanted)
        for name in (night.zone for night in reversed(nights) if night.zone):
            try:
                return cls(zone(name), name)
            except ConfigError:
                continue  # As in a summary of another machine.
        return cls(UTC, "UTC")

    def shown(self, at: datetime) -> str:
        """A moment as `2026-11-24 02:00`."""
        return f"{at.astimezone(self.zone):%Y-%m-%d %H:%M}"


def outcome_words(counts: dict[str, int]) -> str:
    """Counts in words: `40 updated, 3 unchanged`; `no rows` for none."""
    parts = [f"{rows:,} {name}" for name, rows in counts.items() if rows]
    return ", ".join(parts) or "no rows"


def night_lines(nights: Sequence[Night], clock: Clock) -> Iterator[str]:
    """A line for each run, below a header. The accounts have a column if a run has some."""
    header = [f"began ({clock.name})", "exit", "rows", "changed", "directory", "end"]
    rows = [
        [
            clock.shown(one.began),
            "-" if one.exit_code is None else str(one.exit_code),
            outcome_words(one.counts),
            "-" if one.changed is None else f"{one.changed:,}",
            printable(str(one.path)),
            end_words(one),
        ]
        for one in nights
    ]
    if any(one.accounts for one in nights):
        for row, one in zip([header, *rows], [None, *nights], strict=True):
            row.insert(3, "accounts" if one is None else _accounts(one))
        yield from table(header, rows, right=(1, 4))
    else:
        yield from table(header, rows, right=(1, 3))


def _accounts(night: Night) -> str:
    """The accounts in numbers: `50, 4 stopped`."""
    stopped = f", {len(night.stopped):,} stopped" if night.stopped else ""
    return f"{night.accounts:,}{stopped}" if night.accounts else "-"


def account_words(night: Night) -> str:
    """The accounts, and which of them stopped: `50 accounts; stopped: acme, globex`."""
    if not night.accounts:
        return ""
    stopped = f"; stopped: {named(night.stopped)}" if night.stopped else ""
    return f"{count(night.accounts, 'account')}{stopped}"


def total_line(nights: Sequence[Night]) -> str:
    """All runs in one line: how they ended, and what became of their rows."""
    ends = Counter(one.end for one in nights)
    rows = sum((Counter(one.counts) for one in nights), Counter[str]())
    words = ", ".join(f"{ends[end]:,} {END_WORDS[end]}" for end in End if ends[end])
    order = {name: rows[name] for name in (*Outcome, "unprocessed")}
    return f"{count(len(nights), 'run')}: {words}; {outcome_words(order)}"


def end_words(night: Night) -> str:
    """How a run ended, and why."""
    words = END_WORDS[night.end]
    if night.end is End.UNSUCCESSFUL:
        words = f"{unsuccessful(night.counts):,} {words}" if unsuccessful(night.counts) else ""
    return ": ".join(filter(None, (words, night.why)))


def unsuccessful(counts: dict[str, int]) -> int:
    """Number of rows that did not go through."""
    return sum(counts[outcome] for outcome in Outcome if outcome not in SUCCESSES)


def night_record(run: PastRun) -> dict[str, Any]:
    """A run as an object for a program."""
    summary = run.summary
    return {
        "directory": printable(str(run.path)),
        "input": summary.input.path,
        "began": run.began.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "end": run.end,
        "exit_code": summary.exit_code,
        "stopped_by": summary.stopped_by,
        "reason": summary.reason,
        "counts": run.counts,
        "changed_tasks": _changed(run),
        "changed": summary.changed,
        "rules": run.rules,
        "accounts": len(summary.accounts),
        "accounts_stopped": [*stopped_accounts(summary)],
        "compared": summary.compared,
        "resumed": summary.resumed,
        "started": summary.started,
        "ended": summary.ended,
    }


def unread_lines(unread: Sequence[Unread]) -> Iterator[str]:
    """The directories that could not be read as runs: each damaged one, the others in one line."""
    damaged = [one for one in unread if not one.is_foreign]
    for one in damaged[:_SHOWN]:
        yield f"{one.path} {one.why}"
    if len(damaged) > _SHOWN:
        yield f"… and {count(len(damaged) - _SHOWN, 'more directory', 'more directories')}"
    if foreign := [one.path for one in unread if one.is_foreign]:
        yield f"no run is in {_named(foreign)}"


def removal_lines(removed: Sequence[Removed], *, dry_run: bool) -> Iterator[str]:
    """What became of old runs: each that was removed, and those that are kept."""
    kept = [one for one in removed if one.kept]
    for one in removed:
        if not one.kept and one.ended is not None:
            word = "would remove" if dry_run else "removed"
            yield f"{word} {one.path} (ended {Clock(UTC, 'UTC').shown(one.ended)} UTC)"
    for one in kept[:_SHOWN]:
        yield f"kept {one.path}: {one.kept}"
    if len(kept) > _SHOWN:
        yield f"… and {len(kept) - _SHOWN:,} more are kept"
    done = len(removed) - len(kept)
    yield f"{count(done, 'run')} {'to remove' if dry_run else 'removed'}, {len(kept):,} kept"


def removal_record(one: Removed, *, dry_run: bool) -> dict[str, Any]:
    """What became of an old run, as an object for a program."""
    return {
        "directory": printable(str(one.path)),
        "ended": one.ended and one.ended.isoformat().replace("+00:00", "Z"),
        "removed": not one.kept and not dry_run,
        "kept": one.kept or None,
    }


def listed(runs: Iterable[PastRun | Unread], unread: list[Unread]) -> Iterator[PastRun]:
    """The runs among these. The others are added to a list.

    Raises:
        RunDirectoryError: there is none.
    """
    has_run = False
    for run in runs:
        if isinstance(run, PastRun):
            has_run = True
            yield run
        else:
            unread.append(run)
    if not has_run:
        lines = list(unread_lines(unread))
        raise RunDirectoryError("\n".join([*lines, "there is no run to show"]))


def _why(run: PastRun) -> str:
    """Why a run ended before its time, for people; "" where there is nothing to say."""
    left = run.counts["unprocessed"]
    if run.end in (End.KILLED, End.ROWS_LEFT):
        return f"{count(left, 'row')} left" if run.end is End.KILLED else f"{left:,}"
    if run.end in (End.REFUSED, End.STOPPED):
        return printable(cut(run.summary.reason or "", _REASON_WIDTH))
    if run.end is End.UNSUCCESSFUL and not unsuccessful(run.counts):
        return f"{count(run.summary.mismatches, 'Task')} came back with other values"
    return ""


def _changed(run: PastRun) -> int | None:
    """Number of changed tasks; None where this was not counted."""
    return 0 if run.summary.has_sent is False else run.summary.changed_tasks


def _named(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    return ", ".join(map(str, paths[:_SHOWN])) + more
