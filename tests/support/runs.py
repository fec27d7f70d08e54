"""Run directories for tests of their readers."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bulkupdate._version import __version__
from bulkupdate.codec import replaced, to_json, to_lines
from bulkupdate.journal.summary import Summary, read_summary
from bulkupdate.models import Outcome, State
from bulkupdate.reader.info import InputInfo


def run_directory(
    directory: Path,
    results: Iterable[object],
    samples: Iterable[object] = (),
    *,
    rows: int | None = None,
    path: str = "edits.csv",
    images: Iterable[object] = (),
    timezone: str | None = None,
    **changes: Any,
) -> Path:
    """Create a run directory with these results, samples and images of a run.

    `timezone` is an option of the input. `changes` change the summary.
    """
    directory.mkdir()
    lines = list(results)
    (directory / "results.jsonl").write_bytes(to_lines(lines))
    if samples := list(samples):
        (directory / "traffic.jsonl").write_bytes(to_lines(samples))
    if images := list(images):
        (directory / "before.jsonl").write_bytes(to_lines(images))
    info = InputInfo(
        path=path,
        sha256=hashlib.sha256(path.encode()).hexdigest(),
        rows=len(lines) if rows is None else rows,
        format="csv",
        encoding="utf-8",
        delimiter=",",
        options={} if timezone is None else {"timezone": timezone},
    )
    summary = Summary(
        version=__version__,
        input=info,
        directory=directory.name,
        base_url="https://api.lemlist.com/api",
        started="2026-11-24T14:00:00.000Z",
        ended="2026-11-24T14:10:00.000Z",
        state=State.FINISHED,
        reason=None,
        exit_code=0,
        counts=dict.fromkeys([*Outcome, "unprocessed"], 0),
        mismatches=0,
        requests=len(lines),
        retries=0,
        rate_limited=0,
        rows_per_second=9.8,
        allowed_rate=10.0,
        used_rate=9.8,
        paused=0.0,
        resumed=False,
    )
    (directory / "summary.json").write_bytes(to_json(replaced(summary, **changes)))
    return directory


def night(
    directory: Path,
    began: str,
    *,
    counts: dict[str, int] | None = None,
    results: Iterable[object] = (),
    timezone: str | None = None,
    path: str = "rules.toml",
    **changes: Any,
) -> Path:
    """Create the directory of a run that began at a moment and ended five minutes later.

    `counts` are the numbers of its rows by outcome. `changes` change the summary.
    """
    counts = {**dict.fromkeys([*Outcome, "unprocessed"], 0), **(counts or {})}
    start = datetime.fromisoformat(began).astimezone(UTC)
    created = run_directory(
        directory, results, rows=sum(counts.values()), path=path, timezone=timezone,
        **{"counts": counts, "started": _text(start), "ended": _text(start + timedelta(minutes=5)),
           "changed_tasks": counts["updated"], **changes},
    )  # fmt: skip
    # A file of failed rows is always there.
    (created / "failed.csv").write_text("id\n")
    summary = read_summary(created)
    changed = replaced(
        summary,
        input=replaced(summary.input, now=_text(start)),
        failed_sha256=changes.get("failed_sha256", hashlib.sha256(b"id\n").hexdigest()),
    )
    (created / "summary.json").write_bytes(to_json(changed))
    return created


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
