"""A sandbox, and runs of `bulkupdate.run` against it."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal.summary import Summary
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.models import Reason
from bulkupdate.reader import Input
from bulkupdate.sandbox import Sandbox, SandboxConfig, Team, Unknown
from bulkupdate.sandbox.server import Seen
from bulkupdate.session.observer import Observer
from bulkupdate.session.progress import Progress
from bulkupdate.session.run import run
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

Write = Callable[..., Path]
KEY = "right-key"


class Notes(Observer):
    """An observer that remembers all notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def noted(self, note: str) -> None:
        self.said.append(note)


class StopsAfter(Observer):
    """An observer that stops a run after a number of settled rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.stop = Stop()

    async def watch(self, progress: Progress) -> None:
        while progress.ledger.settled < self.rows:
            await asyncio.sleep(0.001)
        self.stop.set("interrupted by SIGINT", Reason.SIGNAL, signal=2)


class Bench:
    """A sandbox, and runs against it."""

    def __init__(self, **settings: Any) -> None:
        self.seen: list[Seen] = []
        #: Requests that are about no row.
        self.asked: list[Seen] = []
        defaults = {"key": KEY, "rate": None, "unknown": Unknown.CREATE}
        config = SandboxConfig(**{**defaults, **settings})
        self.sandbox = Sandbox(config, team=Team(), watch=self._see)

    def _see(self, seen: Seen) -> None:
        is_asked = "/team" in seen.path or "/users/" in seen.path
        (self.asked if is_asked else self.seen).append(seen)

    async def __aenter__(self) -> "Bench":
        await self.sandbox.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sandbox.close()

    def config(
        self, path: Path, *, key: str = KEY, timeout: float = 5, **settings: Any
    ) -> RunConfig:
        endpoint = Endpoint(api_key=ApiKey(key), base_url=self.sandbox.base_url, timeout=timeout)
        retry = RetryPolicy(max_attempts=20, first_backoff=0.001, longest_backoff=0.01)
        return RunConfig(
            **{"input": str(path), "endpoint": endpoint, "rate": None, "retry": retry, **settings}
        )

    async def run(self, path: Path, observer: Observer | None = None, **settings: Any) -> Summary:
        summary = await run(self.config(path, **settings), observer=observer)
        check(summary)
        return summary


def check(summary: Summary) -> None:
    """Assert what holds for every run: the files agree, and the counts add up."""
    directory = Path(summary.directory)
    last = {result["row"]: result for result in results_in(directory)}
    outcomes = Counter(result["outcome"] for result in last.values())
    assert sum(summary.counts.values()) == summary.input.rows
    assert {
        name: n for name, n in summary.counts.items() if n and name != "unprocessed"
    } == outcomes
    written = json.loads((directory / "summary.json").read_text())
    assert written["counts"] == summary.counts
    assert written["exit_code"] == summary.exit_code
    unsuccessful = sum(outcomes[name] for name in ("failed", "invalid", "unconfirmed", "conflict"))
    failed_path = directory / f"failed.{summary.input.format}"
    if failed_path.stat().st_size == 0:
        assert (unsuccessful, summary.input.format) == (0, "jsonl")
        return
    with Input.open(failed_path) as failed:
        assert len(list(failed.rows())) == unsuccessful


def results_in(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "results.jsonl").read_text().splitlines()]


def edits(write: Write, count: int, name: str = "edits.csv") -> Path:
    return write(name, "id,title", *(f"opp_{n},T{n}" for n in range(1, count + 1)))
