"""Metrics of a worker of a fleet, in Prometheus' text format.

The names are in `docs/how-to/fleet.md`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from bulkupdate.errors import setting
from bulkupdate.stop import cancel_all
from bulkupdate.ui.metrics import INTERVAL, check_writable

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = logging.getLogger(__name__)

_PREFIX = "bulkupdate_worker_"


class AccountNumbers(Protocol):
    """What a worker has done for an account."""

    @property
    def rows(self) -> Mapping[str, int]:
        """Number of rows that were settled, by outcome."""

    @property
    def requests(self) -> int:
        """Number of requests that were sent, retries included."""

    @property
    def rate_limited(self) -> int:
        """Number of 429s."""

    @property
    def is_waiting(self) -> bool:
        """Whether its lane waits for its server."""


class WorkerNumbers(Protocol):
    """A worker in numbers."""

    @property
    def jobs(self) -> int:
        """Number of jobs that it works on now."""

    @property
    def accounts(self) -> Mapping[str, AccountNumbers]:
        """What it has done for each account, by name."""


class WorkerMetrics:
    """A file of a worker's metrics, rewritten each time.

    Args:
        path: the path of the file.
        worker: the name of the worker, for the label `worker`.
    """

    def __init__(self, path: Path, worker: str) -> None:
        self._path = path
        self._worker = worker
        self._started = time.time()

    @classmethod
    def open(cls, path: Path, worker: str) -> Self:
        """Check that the file can be written.

        Raises:
            ConfigError: prometheus_client is not installed, or the file can't be written.
        """
        check_writable(path)
        return cls(path, worker)

    @contextlib.asynccontextmanager
    async def writing(self, numbers: Callable[[], WorkerNumbers]) -> AsyncIterator[None]:
        """Write the file every 15 s during a block, and at its end."""
        task = asyncio.create_task(self._write_regularly(numbers))
        try:
            yield
        finally:
            await cancel_all([task])
            self._write(numbers(), running=False)

    async def _write_regularly(self, numbers: Callable[[], WorkerNumbers]) -> None:
        while True:
            self._write(numbers(), running=True)
            await asyncio.sleep(INTERVAL)

    def _write(self, numbers: WorkerNumbers, *, running: bool) -> None:
        """Write the file. If that fails, the worker goes on."""
        from prometheus_client import CollectorRegistry, write_to_textfile

        registry = CollectorRegistry()
        registry.register(_Families(self._worker, self._started, numbers, running=running))
        try:
            write_to_textfile(str(self._path), registry)
            # Another user's program reads the file, and it has no secrets.
            self._path.chmod(0o644)
        except (OSError, ValueError) as error:
            log.warning("%s %s can't be written: %s", setting("metrics_file"), self._path, error)


class _Families:
    """The families of metrics, as a registry asks for them."""

    def __init__(
        self, worker: str, started: float, numbers: WorkerNumbers, *, running: bool
    ) -> None:
        self._worker = worker
        self._started = started
        self._numbers = numbers
        self._running = running

    def collect(self) -> "list[Metric]":
        """All families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        numbers, worker = self._numbers, self._worker
        found: list[Metric] = []
        for name, meaning, value in (
            ("running", "Whether the worker is running.", float(self._running)),
            ("start_timestamp_seconds", "When the worker started.", self._started),
            ("jobs", "Jobs that the worker works on now.", float(numbers.jobs)),
        ):
            gauge = GaugeMetricFamily(_PREFIX + name, meaning, labels=["worker"])
            gauge.add_metric([worker], value)
            found.append(gauge)
        labels = ["worker", "account"]
        rows = CounterMetricFamily(
            _PREFIX + "rows", "Rows that were settled, by outcome.", labels=[*labels, "outcome"]
        )
        requests = CounterMetricFamily(
            _PREFIX + "requests", "Requests that were sent, retries included.", labels=labels
        )
        limited = CounterMetricFamily(
            _PREFIX + "rate_limited", "Answers that were a 429.", labels=labels
        )
        waiting = GaugeMetricFamily(
            _PREFIX + "waiting", "Whether an account waits for its server.", labels=labels
        )
        for account, one in numbers.accounts.items():
            for outcome, number in one.rows.items():
                rows.add_metric([worker, account, outcome], number)
            requests.add_metric([worker, account], one.requests)
            limited.add_metric([worker, account], one.rate_limited)
            waiting.add_metric([worker, account], float(one.is_waiting))
        return [*found, rows, requests, limited, waiting]
