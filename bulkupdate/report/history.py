"""What a run directory tells of its run: how it went over time, and what became of its rows."""

import bisect
import math
import statistics
from array import array
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
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

#: Points of a chart at most.
POINTS = 90

#: Rows that did not succeed which a report lists at most: a browser is to hold them.
MAX_ROWS = 100_000

#: Seconds that lie between two sessions at least. Within one, each sample begins where the last
#: one ended.
_GAP = 0.25

#: The same between results that no sample covers: those after the last sample of a session that was
#: killed; or all, where an earlier version has kept no samples, and an outage may look like it.
_GAP_OF_RESULTS = LONGEST_SAMPLE + 1
_GAP_WITHOUT_SAMPLES = 30.0

#: Lengths of what a point stands for, in seconds. In one that is shorter than a period of the limit
#: (2 s), a pace that keeps it would seem to go over it.
_WIDTHS = (2, 4, 6, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)

#: When it begins and ends, on the clock.
_Span = tuple[float, float]

_OUTCOMES = tuple(Outcome)
_PERCENTILES = (50, 90, 99)


class _Event(Mark, frozen=True, kw_only=True):
    """A line of the results log, as far as charts need it."""

    at: str
    ms: float | None = None


class Point(NamedTuple):
    """What happened in a part of a run.

    Attributes:
        start: in seconds of running time: those in which nobody was at the run don't count.
        seconds: how long it lasted.
        outcomes: rows that were settled in it, by outcome.
        latencies: the 50th, 90th and 99th percentile of how long the last request of each row
            took, in milliseconds; None where no row had one.
        requests, retries, rate_limited: sent in it; None where no samples were kept.
        allowed: requests per second that were allowed, or None for any number.
        is_waiting: whether nothing was started at some time in it: the server was down, or had
            asked for a pause.
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
    """All that a report says.

    Attributes:
        summary: of the run, as its last session left it.
        counts: rows of the input by outcome, and `unprocessed`, by the log.
        mismatches: updated rows whose Task came back with other values than were sent.
        points: the run over time.
        sessions: when each session began: in seconds of running time, and by the clock.
        seconds: running time in all.
        causes: why rows did not succeed, the most frequent first.
        unsuccessful: the last results of the rows that did not succeed, `MAX_ROWS` at most.
        unsuccessful_count: how many such rows there are.
    """

    summary: Summary
    counts: dict[str, int]
    mismatches: int
    points: list[Point]
    sessions: list[tuple[float, datetime]]
    seconds: float
    causes: list[Cause]
    unsuccessful: list[Result]
    unsuccessful_count: int


def read_history(directory: Path) -> History:
    """What is there of a run: one that has ended, was killed, or is under way.

    Raises:
        RunDirectoryError: there is no run.
        JournalError: its files can't be read.
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
        mismatches=ledger.mismatches,
        points=_points(clock, events, samples),
        sessions=[(at, datetime.fromtimestamp(began, UTC)) for at, began in clock.sessions],
        seconds=clock.seconds,
        causes=causes.listed(),
        unsuccessful=unsuccessful,
        unsuccessful_count=count,
    )


class _Events:
    """When rows were settled: thirteen bytes each."""

    def __init__(self) -> None:
        self.times = array("d")
        self.milliseconds = array("f")
        self.outcomes = bytearray()

    def add(self, event: _Event) -> None:
        self.times.append(datetime.fromisoformat(event.at).timestamp())
        self.milliseconds.append(-1.0 if event.ms is None else event.ms)
        self.outcomes.append(_OUTCOMES.index(event.outcome))


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
    """The last results of the rows that did not succeed, in the order of the log."""
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
                raise JournalError(f"{results}: a line is no result: {error}") from error


class _Clock:
    """Running time: that in which nobody was at the run is left out.

    Args:
        samples: each stands for some seconds in which somebody was.
        events: those that no sample covers tell of further such seconds.

    Attributes:
        sessions: where each stretch of it begins: in running time, and on the clock.
        seconds: of it in all.
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
        """The running time at a moment of the clock."""
        place = max(0, bisect.bisect_right(self._begins, at) - 1)
        return min(self.seconds, self._before[place] + max(0.0, at - self._begins[place]))


def _ended(sample: Sample) -> float:
    return datetime.fromisoformat(sample.at).timestamp()


def _merged(spans: Iterable[_Span], gap: float) -> list[_Span]:
    """Spans in their order, those that lie no further apart than `gap` made one."""
    merged: list[_Span] = []
    for begin, end in sorted(spans):
        if merged and begin - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _joined(sampled: list[_Span], others: list[_Span], gap: float) -> list[_Span]:
    """All of them; one of the others is added to the sampled one before it, if that is near."""
    joined = list(sampled)
    for begin, end in others:
        place = bisect.bisect_right(joined, (begin, math.inf)) - 1
        if place >= 0 and begin - joined[place][1] <= gap:
            joined[place] = (joined[place][0], max(joined[place][1], end))
        else:
            joined.insert(place + 1, (begin, end))
    return joined


def _uncovered(times: "array[float]", spans: list[_Span]) -> Iterator[float]:
    """Those of some moments that lie in no span, nor at the edge of one."""
    begins = [begin for begin, _ in spans]
    for at in times:
        place = bisect.bisect_right(begins, at + _GAP) - 1
        if place < 0 or at > spans[place][1] + _GAP:
            yield at


def _points(clock: _Clock, events: _Events, samples: list[Sample]) -> list[Point]:
    """The run in parts of equal length; the last one takes what is left along."""
    if not clock.seconds:
        return []
    width = next((w for w in _WIDTHS if clock.seconds <= w * POINTS), clock.seconds / POINTS)
    edges = [place * width for place in range(max(1, int(clock.seconds / width)))]
    settled = _Settled(edges, clock, events)
    sent = _Sent([*edges, clock.seconds], clock, samples)
    return [
        Point(
            start=start,
            seconds=end - start,
            outcomes=settled.outcomes[place],
            latencies=_percentiles(settled.latencies[place]),
            requests=sent.requests[place] if samples else None,
            retries=sent.retries[place] if samples else None,
            rate_limited=sent.rate_limited[place] if samples else None,
            allowed=sent.allowed[place],
            is_waiting=sent.is_waiting[place],
        )
        for place, (start, end) in enumerate(pairwise([*edges, clock.seconds]))
    ]


class _Settled:
    """What the log says of each part, by where it begins."""

    def __init__(self, edges: list[float], clock: _Clock, events: _Events) -> None:
        self.outcomes: list[dict[Outcome, int]] = [{} for _ in edges]
        self.latencies = [array("f") for _ in edges]
        for at, ms, code in zip(events.times, events.milliseconds, events.outcomes, strict=True):
            place = bisect.bisect_right(edges, clock.running_time(at)) - 1
            outcome = _OUTCOMES[code]
            self.outcomes[place][outcome] = self.outcomes[place].get(outcome, 0) + 1
            if ms >= 0:
                self.latencies[place].append(ms)


class _Sent:
    """What the samples say of each part: a sample that lies in several is shared among them."""

    def __init__(self, edges: list[float], clock: _Clock, samples: list[Sample]) -> None:
        count = len(edges) - 1
        self.requests, self.retries, self.rate_limited = ([0.0] * count for _ in range(3))
        self.allowed: list[float | None] = [None] * count
        self.is_waiting = [False] * count
        for sample in samples:
            end = clock.running_time(_ended(sample))
            begin = max(0.0, end - sample.seconds)
            first, last = (min(count, bisect.bisect_right(edges, at)) - 1 for at in (begin, end))
            for place in range(first, last + 1):
                within = min(end, edges[place + 1]) - max(begin, edges[place])
                share = within / (end - begin) if first < last and end > begin else 1.0
                self.requests[place] += share * sample.requests
                self.retries[place] += share * sample.retries
                self.rate_limited[place] += share * sample.rate_limited
                self.allowed[place] = sample.allowed_rate
                self.is_waiting[place] |= sample.waiting_for is not None


def _percentiles(milliseconds: "array[float]") -> tuple[float, ...] | None:
    if not milliseconds:
        return None
    if len(milliseconds) == 1:
        return (milliseconds[0],) * len(_PERCENTILES)
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return tuple(cuts[percentile - 1] for percentile in _PERCENTILES)
