"""The runs and the workers of a fleet, in lines for people and in records for programs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from bulkupdate.codec import to_json
from bulkupdate.errors import count
from bulkupdate.fleet.runs import PartStatus, RunStatus, WorkerStatus
from bulkupdate.models import SUCCESSES
from bulkupdate.ui.messages import printable
from bulkupdate.ui.table import table

_RUNS = ("run", "submitted", "input", "rows", "done", "not ok", "state")
#: Accounts that a line names.
_NAMED = 5

_PARTS = ("account", "updates", "rows done", "not ok", "requests", "429s", "state")


def status_lines(runs: Sequence[RunStatus], workers: Sequence[WorkerStatus]) -> Iterator[str]:
    """A line for each run, and one for each worker."""
    if runs:
        rows = [[*map(printable, _run_cells(run))] for run in runs]
        yield from table(_RUNS, rows, right=(0, 3, 4, 5))
    else:
        yield "no run was submitted"
    if not any(worker.is_alive for worker in workers):
        yield "no worker is there: bulkupdate fleet worker"
    for worker in workers:
        how = "alive" if worker.is_alive else f"silent for {worker.silent:.0f} s"
        yield printable(f"worker {worker.name} ({worker.version}): {how}")


def run_lines(run: RunStatus) -> Iterator[str]:
    """The parts of a run, below what is known of all of it."""
    counts = {name: number for name, number in run.counts.items() if number}
    yield printable(f"run {run.id}, {run.input}, submitted {_moment(run.created)}: {run.state}")
    yield f"{count(run.rows, 'row')}: " + ", ".join(
        f"{number:,} {name}" for name, number in counts.items()
    )
    if (why := run.why_left) is not None and run.has_ended:
        yield printable(why[0])
    parts = [part for part in run.parts if part.team is not None and part.account]
    if parts:
        is_cancelled = run.cancelled is not None
        rows = [[*map(printable, _part_cells(part, is_cancelled))] for part in parts]
        yield from table(_PARTS, rows, right=(1, 2, 3, 4, 5))
    elif run.cancelled is None:
        lone = [part for part in run.parts if part.team is not None]
        yield from (printable(waits) for part in lone if (waits := part.why_waiting))
    if run.state == "stopped":
        yield f"next: remove the cause, then bulkupdate fleet retry {run.id}"


def waiting_lines(run: RunStatus) -> Iterator[str]:
    """For each reason for which nobody works on accounts of a run, a line that names them."""
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    for part in run.parts:
        if part.why_idle is not None:
            waiting[part.why_idle].append(part.account)
    for why, names in waiting.items():
        named = ", ".join([*names[:_NAMED], *["…"][: len(names) > _NAMED]])
        yield f"run {run.id} waits: {why}" + (f" ({named})" if named else "")


def _run_cells(run: RunStatus) -> Iterator[str]:
    counts = run.counts
    left = counts.pop("unprocessed")
    bad = sum(number for name, number in counts.items() if name not in SUCCESSES)
    yield str(run.id)
    yield _moment(run.created)
    yield run.input
    yield f"{run.rows:,}"
    yield f"{run.rows - left:,}"
    yield f"{bad:,}"
    yield f"{run.state}: {why}" if (why := _why(run)) else run.state


def _part_cells(part: PartStatus, is_cancelled: bool) -> Iterator[str]:
    bad = sum(number for name, number in part.counts.items() if name not in SUCCESSES)
    yield part.account
    yield f"{part.edits:,}"
    yield f"{part.settled:,}"
    yield f"{bad:,}"
    yield f"{part.requests:,}"
    yield f"{part.rate_limited:,}"
    if part.reason:
        yield f"stopped: {part.reason}"
    else:
        yield (not is_cancelled and part.why_waiting) or _state(part, is_cancelled)


def _why(run: RunStatus) -> str | None:
    """Why a run has stopped, or stands still; None if that needs no word."""
    if run.state == "stopped" and run.why_left is not None:
        return run.why_left[0]
    return None if run.has_ended else run.why_idle


def _state(part: PartStatus, is_cancelled: bool) -> str:
    if part.aside:
        return f"{count(part.aside, 'row')} set aside"
    if part.is_done:
        return "done"
    if part.is_worked_on:
        return "under way"
    return "cancelled" if is_cancelled else "waiting"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def records(runs: Iterable[RunStatus], workers: Iterable[WorkerStatus]) -> Iterator[str]:
    """A JSON object for each run, and one for each worker."""
    for run in runs:
        yield to_json(_record(run)).decode()
    for worker in workers:
        told = {"worker": worker.name, "version": worker.version, "lease": worker.lease}
        yield to_json({**told, "silent": round(worker.silent, 1)}).decode()


def _record(run: RunStatus) -> dict[str, Any]:
    why = run.why_left
    return {
        "run": run.id,
        "input": run.input,
        "submitted": run.created.isoformat(),
        "state": run.state,
        "reason": why[0] if why else None,
        "stopped_by": why[1] if why else None,
        "rows": run.rows,
        "counts": run.counts,
        "requests": sum(part.requests for part in run.parts),
        "rate_limited": sum(part.rate_limited for part in run.parts),
        "accounts": {
            part.account: {
                "updates": part.edits,
                "counts": part.counts,
                "set_aside": part.aside,
                "requests": part.requests,
                "retries": part.retries,
                "rate_limited": part.rate_limited,
                "state": "stopped" if part.reason else _state(part, run.cancelled is not None),
                "reason": part.reason,
                "waiting_for": part.why_held,
                "idle": part.why_idle,
                "behind": part.behind,
                "trouble": part.trouble,
            }
            for part in run.parts
            if part.team is not None
        },
    }
