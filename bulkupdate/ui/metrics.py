"""Metrics of a run and its end, in Prometheus' text format.

The node exporter's textfile collector reads the file. The names are in `docs/run-directory.md`.
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from bulkupdate.errors import ConfigError, setting
from bulkupdate.journal import AccountSummary, Summary
from bulkupdate.models import State, Traffic
from bulkupdate.plan import Preview
from bulkupdate.reader import Input
from bulkupdate.session.observer import Observer
from bulkupdate.session.progress import Progress

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

log = logging.getLogger(__name__)

#: Seconds between two updates of the file during a run.
INTERVAL = 15.0

_PREFIX = "bulkupdate_"
_LAST_SUCCESS = "last_success_timestamp_seconds"
_HELP = {
    "running": "Whether a run is under way.",
    "rows": "Rows of the input, by outcome.",
    "requests": "Requests sent in this session, retries included.",
    "retries": "Requests of this session that were not their row's first.",
    "rate_limited": "Answers of this session that were a 429.",
    "mismatches": "Tasks that came back with other values than were sent.",
    "start_timestamp_seconds": "When the last session began.",
    "end_timestamp_seconds": "When the last session ended.",
    "exit_code": "What the last session exited with.",
    _LAST_SUCCESS: "When a run last finished with exit code 0.",
    "account_rows": "Rows of an account, by outcome.",
    "account_requests": "Requests of an account in this session, retries included.",
    "account_rate_limited": "Answers to an account in this session that were a 429.",
    "account_stopped": "Whether an account has stopped before its end.",
}


class _Account(NamedTuple):
    """An account in numbers."""

    name: str
    rows: dict[str, int]
    requests: int
    rate_limited: int
    is_stopped: bool


class _Accounts:
    """The metrics of all accounts. They have names of their own, so that no sum counts a row twice.

    A family costs half of what a gauge with a child for each account does.

    Args:
        run: the label of the run.
        accounts: the accounts.
    """

    def __init__(self, run: str, accounts: Sequence[_Account]) -> None:
        self._run = run
        self._accounts = accounts

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        """The families, as a registry asks for them."""
        rows = self._family("account_rows", "outcome")
        for one in self._accounts:
            for outcome, number in one.rows.items():
                rows.add_metric((self._run, one.name, outcome), number)
        yield rows
        for name, value in (
            ("account_requests", attrgetter("requests")),
            ("account_rate_limited", attrgetter("rate_limited")),
            ("account_stopped", attrgetter("is_stopped")),
        ):
            family = self._family(name)
            for one in self._accounts:
                family.add_metric((self._run, one.name), value(one))
            yield family

    def _family(self, name: str, *labels: str) -> "GaugeMetricFamily":
        from prometheus_client.core import GaugeMetricFamily

        all_labels = ["run", "account", *labels]
        return GaugeMetricFamily(_PREFIX + name, _HELP[name], labels=all_labels)


class MetricsFile(Observer):
    """A file of metrics, rewritten each time. Each metric has the file's name as label `run`.

    Args:
        path: the path of the file.
        last_success: when a run last succeeded, in seconds of Unix time; None if never.

    Attributes:
        has_ended: whether the file has the end of the session.
    """

    def __init__(self, path: Path, last_success: float | None = None) -> None:
        self.has_ended = False
        self._path = path
        self._started = time.time()
        self._last_success = last_success

    @classmethod
    def open(cls, path: Path) -> Self:
        """Check that a file can be written, and take the last success from the one that is there.

        Args:
            path: the path of the file.

        Raises:
            ConfigError: prometheus_client is not installed, or the file can't be written.
        """
        check_writable(path)
        return cls(path, _read_last_success(path))

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Write that a run is in progress. Before this moment, the file may be another run's."""
        del source
        self._write({"running": 1}, {"unprocessed": preview.rows})

    async def watch(self, progress: Progress) -> None:
        """Write the progress every 15 s, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self._write(
                {
                    "running": 1,
                    "requests": progress.requests,
                    "retries": progress.retries,
                    "rate_limited": progress.rate_limited,
                    "mismatches": progress.ledger.mismatches,
                },
                progress.counts,
                [
                    _Account(one.name, one.counts, *_sent(one.traffic), one.reason is not None)
                    for one in progress.accounts
                ],
            )

    def ended(self, summary: Summary) -> None:
        """Write the end of the run."""
        if summary.exit_code == 0 and summary.state is State.FINISHED:
            self._last_success = time.time()
        self._write(
            {
                **_at_the_end(summary.exit_code),
                "requests": summary.requests,
                "retries": summary.retries,
                "rate_limited": summary.rate_limited,
                "mismatches": summary.mismatches,
            },
            summary.counts,
            [
                _Account(name, one.counts, *_sent(one), one.reason is not None)
                for name, one in summary.accounts.items()
            ],
        )
        self.has_ended = True

    def refused(self, exit_code: int) -> None:
        """Write the end of a session that has no summary."""
        self._write(_at_the_end(exit_code), {})
        self.has_ended = True

    def _write(
        self, values: dict[str, float], rows: dict[str, int], accounts: Sequence[_Account] = ()
    ) -> None:
        """Write the file. If that fails, the run continues."""
        from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

        registry, run = CollectorRegistry(), self._path.stem
        known = {"start_timestamp_seconds": self._started, **values}
        if self._last_success is not None:
            known[_LAST_SUCCESS] = self._last_success
        for name, value in known.items():
            gauge = Gauge(_PREFIX + name, _HELP[name], ["run"], registry=registry)
            gauge.labels(run).set(value)
        if rows:
            by_outcome = Gauge(
                _PREFIX + "rows", _HELP["rows"], ["run", "outcome"], registry=registry
            )
            for outcome, number in rows.items():
                by_outcome.labels(run, outcome).set(number)
        if accounts:
            registry.register(_Accounts(run, accounts))
        try:
            write_to_textfile(str(self._path), registry)
            # Regardless of the umask: another user's program reads the file, and it has no secrets.
            self._path.chmod(0o644)
        except (OSError, ValueError) as error:
            log.warning("%s %s can't be written: %s", setting("metrics_file"), self._path, error)


def check_writable(path: Path) -> None:
    """Check that a file of metrics can be written.

    Raises:
        ConfigError: it can't, or prometheus_client is not installed.
    """
    if path.suffix != ".prom":
        raise ConfigError(
            f"{setting('metrics_file')} {path}: the node exporter reads files named *.prom"
        )
    try:
        import prometheus_client  # noqa: F401 - whether it is there
    except ImportError:
        raise ConfigError(
            f"{setting('metrics_file')} needs the extra [metrics]: pip install prometheus-client"
        ) from None
    if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_dir():
        advice = f"check that {path.parent} exists and is writable"
        why = "it is a directory" if path.is_dir() else advice
        raise ConfigError(f"{setting('metrics_file')} {path} can't be written: {why}")


def _sent(traffic: Traffic | AccountSummary) -> tuple[int, int]:
    return traffic.requests, traffic.rate_limited


def _at_the_end(exit_code: int | None) -> dict[str, float]:
    return {"running": 0, "end_timestamp_seconds": time.time(), "exit_code": exit_code or 0}


def _read_last_success(path: Path) -> float | None:
    """Read the time of the last success from an old file; None if it has none."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            for sample in family.samples:
                if sample.name == _PREFIX + _LAST_SUCCESS:
                    return float(sample.value)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning(
            "%s %s can't be read: %s: a new file is written", setting("metrics_file"), path, error
        )
    return None
