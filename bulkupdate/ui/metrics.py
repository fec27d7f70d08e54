"""How a run stands and ended, in Prometheus' text format.

The node exporter's textfile collector reads it. The names are in `docs/run-directory.md`.
"""

import asyncio
import logging
import os
import time
from pathlib import Path

from bulkupdate.errors import ConfigError, setting
from bulkupdate.journal import Summary
from bulkupdate.models import State
from bulkupdate.plan import Preview
from bulkupdate.reader import Input
from bulkupdate.session.observer import Observer
from bulkupdate.session.progress import Progress

log = logging.getLogger(__name__)

#: Seconds between two times that the file is written while a run goes on.
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
}


class MetricsFile(Observer):
    """A file of metrics, written whole each time. All of them have the file's name as label `run`.

    Args:
        path: where; what it says of the last success is kept.

    Attributes:
        has_ended: whether it says how the session has ended.

    Raises:
        ConfigError: prometheus_client is not installed, or the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix != ".prom":
            raise ConfigError(
                f"{setting('metrics_file')} {path}: the node exporter reads files named *.prom"
            )
        try:
            from prometheus_client import CollectorRegistry
        except ImportError:
            raise ConfigError(
                f"{setting('metrics_file')} needs prometheus_client:"
                " pip install 'bulkupdate[metrics]'"
            ) from None
        if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_dir():
            why = "it is a directory" if path.is_dir() else f"is {path.parent} there, and ours?"
            raise ConfigError(f"{setting('metrics_file')} {path} can't be written: {why}")
        self.has_ended = False
        self._path = path
        self._new_registry = CollectorRegistry
        self._started = time.time()
        self._last_success = _read_last_success(path)

    def input_checked(self, source: Input, preview: Preview) -> None:
        """Write that a run is under way. Not before: another one may have been at it."""
        del source
        self._write({"running": 1}, {"unprocessed": preview.rows})

    async def watch(self, progress: Progress) -> None:
        """Write how the run stands every 15 s, until cancelled."""
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
            )

    def ended(self, summary: Summary) -> None:
        """Write how a run has ended."""
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
        )
        self.has_ended = True

    def refused(self, exit_code: int) -> None:
        """Write that the session has ended, where there is no summary of it."""
        self._write(_at_the_end(exit_code), {})
        self.has_ended = True

    def _write(self, values: dict[str, float], rows: dict[str, int]) -> None:
        """Write the file; where that fails, the run goes on."""
        from prometheus_client import Gauge, write_to_textfile

        registry, run = self._new_registry(), self._path.stem
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
        try:
            write_to_textfile(str(self._path), registry)
            # Whatever our umask: another user's program is to read it, and there is nothing in it.
            self._path.chmod(0o644)
        except (OSError, ValueError) as error:
            log.warning("%s %s can't be written: %s", setting("metrics_file"), self._path, error)


def _at_the_end(exit_code: int | None) -> dict[str, float]:
    return {"running": 0, "end_timestamp_seconds": time.time(), "exit_code": exit_code or 0}


def _read_last_success(path: Path) -> float | None:
    """What a file that is there says of the last success; None where it says nothing."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            for sample in family.samples:
                if sample.name == _PREFIX + _LAST_SUCCESS:
                    return float(sample.value)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s %s can't be read: %s: made anew", setting("metrics_file"), path, error)
    return None
