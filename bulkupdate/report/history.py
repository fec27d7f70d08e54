"""The history of a run, from its run directory: charts over time, and unsuccessful rows."""

import bisect
import math
import statistics
from array import array
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bulkupdate.codec import parse_record
from bulkupdate.errors import JournalError
from bulkupdate.journal import (
    LONGEST_SAMPLE,
    Cause,
    Causes,
    Ledger,
    RunFiles,
    Sample,
    Summary,
    line_offsets,
    read_lines,
    read_samples,
    read_summary,
)
from bulkupdate.models import Mark, Outcome, Result
from bulkupdate.report.changes import Changes

#: Largest number of points in a chart.
POINTS = 90

#: Largest number of unsuccessful rows in a report: a browser must be able to hold them.
MAX_ROWS = 100_000

#: Shortest gap between two sessions, in seconds. Within a session, each sample begins where the
#: last one ended.
_GAP = 0.25

#: The same for results outside all samples: results after the last sample of a killed session, or
#: all results of an earlier version without samples. There, an outage can look like a gap.
_GAP_OF_RESULTS = LONGEST_SAMPLE + 1
_GAP_WITHOUT_SAMPLES = 30.0

#: Possible lengths of a point, in seconds. In a point shorter than the period of the rate limit
#: (2 s), a rate within the limit would seem to exceed it.
_WIDTHS = (2, 4, 6, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)

#: The begin and the end of a span, as Unix time.
_Span = tuple[float, float]

_OUTCOMES = tuple(Outcome)

#: The reason in a line of a row whose task already was as the row asks.
_ALREADY = "already"
_PERCENTILES = (50, 90, 99)


class _Event(Mark, frozen=True, kw_only=True):
    """The part of a line of the results log that charts need."""

    at: str
    ms: float | None = None
    reason: str | None = None


class Point(NamedTuple):
    """One part of a run in a chart.

    Attributes:
        start: its begin in seconds of running time, without the pauses between sessions.
        seconds: its length.
        outcomes: number of rows settled in it, by outcome.
        latencies: 50th, 90th and 99th percentile of the response time of the last request of each
            row, in milliseconds; None where no row had a request.
        requests: number of requests; None where no samples were kept.
        retries: number of retries; None where no samples were kept.
        rate_limited: number of 429 responses; None where no samples were kept.
        allowed: requests per second that were allowed, or None for any number.
        is_waiting: whether the run waited at some time in it: the server was down, or had asked for
            a pause.
    """

    start: float
    seconds: float
    outcomes: dict[Outcome, int]
    latencies: tuple[float, ...] | None
    requests: float | None
    retries: float | None
    rate_limited: float | None
    allowed: float | None
    is_waiting: bool


class History(NamedTuple):
    """The data of a report.

    Attributes:
        summary: the summary of the run after its last session.
        counts: number of rows by outcome, and `unprocessed`, from the log.
        already: number of the unchanged rows whose task already was as they ask.
        mismatches: number of updated rows whose Task came back with other values than were sent.
        points: the run over time.
        sessions: the begin of each session: in seconds of running time, and as a date and time.
        seconds: running time in all.
        causes: the causes of unsuccessful rows, the most frequent first.
        unsuccessful: the last results of the unsuccessful rows, at most `MAX_ROWS`.
        unsuccessful_count: number of unsuccessful rows.
        changes: what the run has changed; None where this was not read.
        rules: number of rows by rule and outcome; empty where no row is of a rule.
        accounts: number of rows by outcome, and `unprocessed`, of each account, from the log; empty
            in a run with one key.
    """

    summary: Summary
    counts: dict[str, int]
    already: int
    mismatches: int
    points: list[Point]
    sessions: list[tuple[float, datetime]]
    seconds: float
    causes: list[Cause]
    unsuccessful: list[Result]
    unsuccessful_count: int
    changes: Changes | None = None
    rules: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    accounts: Mapping[str, Mapping[str, int]] = MappingProxyType({})


def read_history(directory: Path) -> History:
    """Read the history of a run. The run may have ended, have been killed, or still be running.

    Raises:
        RunDirectoryError: the directory holds no run.
        JournalError: the files of the run can't be read.
    """
    files = RunFiles(directory)
    summary = read_summary(directory)
    results = files.results
    ledger, events = _read_events(results)
    samples = list(read_samples(files.traffic))
    clock = _Clock(samples, events)
    causes, unsuccessful = Causes(), []
    count = 0
    for result in _unsuccessful(results, ledger):
        count += 1
        causes.add(result)
        if count <= MAX_ROWS:
            unsuccessful.append(result)
    return History(
        summary=summary,
        counts=ledger.counts(summary.input.rows),
        already=sum(events.already),
        mismatches=ledger.mismatches,
        points=_points(clock, events, samples),
        sessions=[(at, datetime.fromtimestamp(began, UTC)) for at, began in clock.sessions],
        seconds=clock.seconds,
        causes=causes.listed(),
        unsuccessful=unsuccessful,
        unsuccessful_count=count,
        rules=ledger.rules(),
        accounts={
            name: ledger.of_account(name, one.rows) for name, one in summary.accounts.items()
        },
    )


class _Events:
    """The time, response time and outcome of every line of the log: thirteen bytes each.

    Attributes:
        already: for each row, whether its last line says that the task was as the row asks.
    """

    def __init__(self) -> None:
        self.times = array("d")
        self.milliseconds = array("f")
        self.outcomes = bytearray()
        self.already = bytearray()

    def add(self, event: _Event) -> None:
        self.times.append(datetime.fromisoformat(event.at).timestamp())
        self.milliseconds.append(-1.0 if event.ms is None else event.ms)
        self.outcomes.append(_OUTCOMES.index(event.outcome))
        self.already.extend(bytes(max(0, event.row - len(self.already))))
        self.already[event.row - 1] = event.reason == _ALREADY


def _read_events(results: Path) -> tuple[Ledger, _Events]:
    ledger, events = Ledger(), _Events()
    if results.exists():
        for some in read_lines(results, _Event, whole_lines=True):
            ledger.record(*some)
            for event in some:
                try:
                    events.add(event)
                except ValueError as error:
                    raise JournalError(f"{results}: row {event.row}: {error}") from error
    return ledger, events


def _unsuccessful(results: Path, ledger: Ledger) -> Iterator[Result]:
    """The last results of the unsuccessful rows, in the order of the log."""
    offsets = line_offsets(results, (line for line, _ in ledger.unsuccessful_lines()))
    try:
        log = results.open("rb")
    except FileNotFoundError:
        return
    with log:
        for offset in offsets:
            log.seek(offset)
            try:
                yield parse_record(log.readline(), Result)
            except ValueError as error:
                raise JournalError(f"{results}: a line is not a result: {error}") from error


class _Clock:
    """The running time of a run: the time of its sessions, without the pauses between them.

    Args:
        samples: the samples. Each covers some seconds of a session.
        events: the settled rows. Those outside all samples show further time of sessions.

    Attributes:
        sessions: the begin of each session: in running time, and as Unix time.
        seconds: running time in all.
    """

    def __init__(self, samples: list[Sample], events: _Events) -> None:
        sampled = _merged(((_ended(one) - one.seconds, _ended(one)) for one in samples), _GAP)
        gap = _GAP_OF_RESULTS if samples else _GAP_WITHOUT_SAMPLES
        others = _merged(((at, at) for at in _uncovered(events.times, sampled)), gap)
        spans = _joined(sampled, others, gap)
        self._begins = [begin for begin, _ in spans]
        self._before = []
        self.seconds = 0.0
        for begin, end in spans:
            self._before.append(self.seconds)
            self.seconds += end - begin
        self.sessions = list(zip(self._before, self._begins, strict=True))

    def running_time(self, at: float) -> float:
        """The running time at a Unix time."""
        index = max(0, bisect.bisect_right(self._begins, at) - 1)
        return min(self.seconds, self._before[index] + max(0.0, at - self._begins[index]))


def _ended(sample: Sample) -> float:
    return datetime.fromisoformat(sample.at).timestamp()


def _merged(spans: Iterable[_Span], gap: float) -> list[_Span]:
    """Sorted spans. Spans with a gap of at most `gap` between them become one."""
    merged: list[_Span] = []
    for begin, end in sorted(spans):
        if merged and begin - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _joined(sampled: list[_Span], others: list[_Span], gap: float) -> list[_Span]:
    """All spans. One of the others extends the sampled span before it, if the gap is small."""
    joined = list(sampled)
    for begin, end in others:
        index = bisect.bisect_right(joined, (begin, math.inf)) - 1
        if index >= 0 and begin - joined[index][1] <= gap:
            joined[index] = (joined[index][0], max(joined[index][1], end))
        else:
            joined.insert(index + 1, (begin, end))
    return joined


def _uncovered(times: "array[float]", spans: list[_Span]) -> Iterator[float]:
    """The times that are outside all spans and not close to the edge of one."""
    begins = [begin for begin, _ in spans]
    for at in times:
        index = bisect.bisect_right(begins, at + _GAP) - 1
        if index < 0 or at > spans[index][1] + _GAP:
            yield at


def _points(clock: _Clock, events: _Events, samples: list[Sample]) -> list[Point]:
    """The run in points of equal length. The last one includes the rest."""
    if not clock.seconds:
        return []
    width = next((w for w in _WIDTHS if clock.seconds <= w * POINTS), clock.seconds / POINTS)
    edges = [number * width for number in range(max(1, int(clock.seconds / width)))]
    settled = _Settled(edges, clock, events)
    sent = _Sent([*edges, clock.seconds], clock, samples)
    return [
        Point(
            start=start,
            seconds=end - start,
            outcomes=settled.outcomes[index],
            latencies=_percentiles(settled.latencies[index]),
            requests=sent.requests[index] if samples else None,
            retries=sent.retries[index] if samples else None,
            rate_limited=sent.rate_limited[index] if samples else None,
            allowed=sent.allowed[index],
            is_waiting=sent.is_waiting[index],
        )
        for index, (start, end) in enumerate(pairwise([*edges, clock.seconds]))
    ]


class _Settled:
    """The data of each point from the log, by the edges of the points."""

    def __init__(self, edges: list[float], clock: _Clock, events: _Events) -> None:
        self.outcomes: list[dict[Outcome, int]] = [{} for _ in edges]
        self.latencies = [array("f") for _ in edges]
        for at, ms, code in zip(events.times, events.milliseconds, events.outcomes, strict=True):
            index = bisect.bisect_right(edges, clock.running_time(at)) - 1
            outcome = _OUTCOMES[code]
            self.outcomes[index][outcome] = self.outcomes[index].get(outcome, 0) + 1
            if ms >= 0:
                self.latencies[index].append(ms)


class _Sent:
    """The data of each point from the samples. A sample across several points is divided."""

    def __init__(self, edges: list[float], clock: _Clock, samples: list[Sample]) -> None:
        count = len(edges) - 1
        self.requests, self.retries, self.rate_limited = ([0.0] * count for _ in range(3))
        self.allowed: list[float | None] = [None] * count
        self.is_waiting = [False] * count
        for sample in samples:
            end = clock.running_time(_ended(sample))
            begin = max(0.0, end - sample.seconds)
            first, last = (min(count, bisect.bisect_right(edges, at)) - 1 for at in (begin, end))
            for index in range(first, last + 1):
                within = min(end, edges[index + 1]) - max(begin, edges[index])
                share = within / (end - begin) if first < last and end > begin else 1.0
                self.requests[index] += share * sample.requests
                self.retries[index] += share * sample.retries
                self.rate_limited[index] += share * sample.rate_limited
                self.allowed[index] = sample.allowed_rate
                self.is_waiting[index] |= sample.waiting_for is not None


def _percentiles(milliseconds: "array[float]") -> tuple[float, ...] | None:
    if not milliseconds:
        return None
    if len(milliseconds) == 1:
        return (milliseconds[0],) * len(_PERCENTILES)
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return tuple(cuts[percentile - 1] for percentile in _PERCENTILES)
