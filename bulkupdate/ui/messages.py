"""Messages about an input and about a run, as lines of text."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import category
from urllib.parse import urlsplit

from bulkupdate.codec import to_json
from bulkupdate.errors import count, setting
from bulkupdate.fields import USER_PREFIX, shorten
from bulkupdate.journal import Cause, RunFiles, Summary
from bulkupdate.models import SUCCESSES, Outcome, Reason, Result, State
from bulkupdate.plan import (
    SHOWN_PROBLEMS,
    Checking,
    DueDates,
    Example,
    OddId,
    Preview,
    ProblemGroup,
)
from bulkupdate.reader import Format, Input
from bulkupdate.ui.ended import accounts_line, stopped_lines
from bulkupdate.ui.standing import Standing, done_words, standing_of, state_words

if TYPE_CHECKING:
    from bulkupdate.session.progress import Progress
    from bulkupdate.session.settings import RunConfig

#: Least number of requests for a message about the rate, and least number of seconds that as many
#: take at the limit. A short run may go faster, because the window is empty at the start.
_TELLING_REQUESTS, _TELLING_SECONDS = 200, 20

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

#: Most examples that are shown of one kind of problem.
_SHOWN_EXAMPLES = 3

#: Most causes that are shown at the end of a run, and most characters of each, to fit a screen.
_SHOWN_CAUSES = 8
_CAUSE_WIDTH = 120

#: Fields that a run can't compare with the task, so that nothing keeps what was there.
_MEDIA = frozenset({"images", "videos"})

#: Most fields or owners that are shown with their number of tasks.
_SHOWN_COUNTS = 20

#: Accounts that a preview names.
_ACCOUNTS_SHOWN = 5


def duration(seconds: float) -> str:
    """A duration in words: `3.2 s`, `1 m 05 s`, `2 h 46 m`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} m"


def source_line(source: Input) -> str:
    """The name of the input, with the format, encoding and so on."""
    file = source.file
    kind = [file.raw.compression, source.format.upper()]
    if file.encoding is not None:
        kind.append(file.encoding.shown)
    if file.dialect is not None:
        kind.append(_DELIMITERS.get(file.dialect.delimiter, repr(file.dialect.delimiter)))
    if file.sheet is not None:
        kind.append(f"sheet {file.sheet!r}")
    return f"{source.name}: {', '.join(filter(None, kind))}"


def reading_lines(source: Input) -> Iterator[str]:
    """The choices of the reader that are not obvious: the encoding and the columns."""
    if (encoding := source.file.encoding) is not None and encoding.examples:
        words = ", ".join(map(repr, encoding.examples))
        advice = f"if these look wrong, set {setting('encoding')}"
        yield f"  {encoding.shown} was recognised by the words {words}: {advice}"
    if source.layout is None:
        return
    renamed = [f"{c.name!r} is {c.field}" for c in source.layout.columns if c.name != c.field]
    if renamed:
        yield "  columns: " + ", ".join(renamed)
    if source.layout.ignored:
        yield "  not sent: " + ", ".join(map(repr, source.layout.ignored))


def check_line(checking: Checking) -> str:
    """The progress of a check, in one line."""
    if checking.source is None:
        return f"reading {checking.name}: {duration(checking.elapsed)} so far"
    parts = [count(checking.rows, "row")]
    if checking.share is not None:
        parts.append(f"{int(100 * checking.share)} %")
    if checking.seconds_left is not None:
        parts.append(f"about {duration(checking.seconds_left)} left")
    return f"checking {checking.name}: {', '.join(parts)}"


def check_event(checking: Checking) -> dict[str, object]:
    """The progress of a check, as JSON."""
    share = checking.share
    return {
        "event": "checking",
        "input": checking.name,
        "rows": checking.rows,
        "share": None if share is None else round(share, 3),
        "seconds": round(checking.elapsed, 1),
    }


def preview_lines(source: Input, preview: Preview) -> Iterator[str]:
    """A preview of the input, in a few lines."""
    yield source_line(source)
    yield from reading_lines(source)
    parts = [count(preview.rows, "row"), count(preview.tasks, "task")]
    if preview.unchanged:
        parts.append(f"{preview.unchanged:,} with no field to change")
    if preview.invalid:
        parts.append(f"{preview.invalid:,} invalid")
    yield "  " + ", ".join(parts)
    if preview.accounts:
        yield "  " + _accounts_of(preview)
    if preview.edits:
        yield "  sets: " + _by_field(preview.edits)
    if preview.clears:
        yield "  CLEARS: " + _by_field(preview.clears)
    if preview.due is not None:
        yield "  " + _due_dates(preview.due, source.options.zone, source.options.timezone)
    if preview.odd:
        hidden = preview.odd - len(preview.odd_ids)
        more = f" and {hidden:,} more" if hidden else ""
        yield f"  UNLIKE the other ids: {_with_rows(preview.odd_ids)}{more}"
    if preview.odd_owner_rows:
        several = preview.odd_owner_rows > len(preview.odd_owners)
        rows = f", in {preview.odd_owner_rows:,} rows" if several else ""
        yield f"  UNLIKE ids of users ({USER_PREFIX}…): {_with_rows(preview.odd_owners)}{rows}"
    if preview.repeated:
        examples = "; ".join("rows " + ", ".join(map(str, rows)) for rows in preview.repeats)
        more = "; …" if preview.repeated > len(preview.repeats) else ""
        tasks = count(preview.repeated, "task") + (" has" if preview.repeated == 1 else " have")
        how = "merged into one request each" if preview.merged else "applied in their order"
        yield f"  {tasks} several rows, {how} ({examples}{more})"
    if preview.seconds is not None:
        requests, seconds = count(preview.requests, "request"), duration(preview.seconds)
        if source.options.people:
            # The rows are compared with the tasks, of which nothing is known yet.
            yield f"  up to {requests} that edit ({seconds}): only what differs is sent"
        else:
            yield f"  {requests}, at least {seconds}"


def _with_rows(ids: Sequence[OddId]) -> str:
    return ", ".join(f"{shorten(one.id)} (row {one.row})" for one in ids)


def _accounts_of(preview: Preview) -> str:
    """The accounts of the rows, those with most rows first."""
    by_rows = sorted(preview.accounts.items(), key=lambda pair: -pair[1])
    shown = ", ".join(f"{name} {rows:,}" for name, rows in by_rows[:_ACCOUNTS_SHOWN])
    hidden = len(by_rows) - _ACCOUNTS_SHOWN
    more = f" and {hidden:,} more" if hidden > 0 else ""
    return f"{count(len(by_rows), 'account')}: {shown}{more}"


def _due_dates(due: DueDates, zone: tzinfo | None, name: str | None) -> str:
    """The due dates in a few numbers, in the user's time zone, else UTC."""
    first, last = (
        datetime.fromisoformat(text).astimezone(zone or UTC).strftime("%Y-%m-%d %H:%M")
        for text in (due.first, due.last)
    )
    span = first if first == last else f"{first} to {last}"
    parts = [(due.past, "in the past"), (due.weekend, "on a weekend")]
    notes = "".join(f", {number:,} {what}" for number, what in parts if number)
    return f"due: {span} ({name or 'UTC'}){notes}"


def body_lines(preview: Preview) -> Iterator[str]:
    """The first request bodies."""
    for body in preview.bodies:
        yield "  PATCH /tasks " + to_json(body).decode()
    if preview.requests > len(preview.bodies) > 0:
        yield f"  … and {preview.requests - len(preview.bodies):,} more"


def question_lines(preview: Preview, config: "RunConfig") -> Iterator[str]:
    """The question before a run completes tasks or empties fields."""
    number = f"{preview.completes_or_clears:,}"
    yield f"rows that complete a task or empty a field: {number} of {preview.rows:,}"
    if preview.completes:
        yield f"  complete: {preview.completes:,}, which can't be undone"
    texts = {name: n for name, n in preview.clears.items() if name not in _MEDIA}
    if texts and config.compare:
        undo = f"bulkupdate undo {config.directory}"
        pending = " while the task is pending" if preview.completes else ""
        yield f"  empty: {_by_field(texts)}, which only {undo} takes back{pending}"
    elif texts:
        yield f"  empty: {_by_field(texts)}, which can't be undone without {setting('compare')}"
    if media := {name: n for name, n in preview.clears.items() if name in _MEDIA}:
        yield f"  empty: {_by_field(media)}, which can't be undone"
    yield f"type {number} to go on; anything else sends nothing"


def problem_lines(preview: Preview) -> Iterator[str]:
    """The problems of the input: each kind once, with its number of rows."""
    shown = preview.problem_groups[:SHOWN_PROBLEMS]
    for group in shown:
        if group.count == 1:
            example = group.examples[0]
            yield f"{_place(example)}: {example.problem}"
        else:
            yield _group_line(group)
    hidden = preview.problems - sum(group.count for group in shown)
    if hidden:
        more = count(hidden, "more problem")
        yield f"… and {more} of other kinds: check {setting('problems')} FILE lists all"
    if preview.invalid:
        problems, rows = count(preview.problems, "problem"), count(preview.invalid, "row")
        yield f"{problems} in {rows} of {preview.rows:,}"


def _group_line(group: ProblemGroup) -> str:
    problem = group.examples[0].problem
    named = f"{problem.named}: " if problem.field else ""
    examples = [
        f"{_place(example)} {example.problem.value}{example.problem.hint}".rstrip()
        for example in group.examples[:_SHOWN_EXAMPLES]
    ]
    more = "; …" if group.count > len(examples) else ""
    return f"{group.count:,} rows: {named}{problem.message}: {'; '.join(examples)}{more}"


def _place(example: Example) -> str:
    named = f", {shorten(example.id)}" if example.id else ""
    return f"row {example.row} (line {example.line}{named})"


def progress_line(progress: "Progress") -> str:
    """The progress of a run, in one line."""
    parts = [*pace_parts(progress), *_counted(progress.unsuccessful), *traffic_parts(progress)]
    if waiting := progress.waiting_for:
        parts.append(waiting)
    return ", ".join(parts)


def standing_line(standing: Standing) -> str:
    """The accounts of a run in one line: their numbers, and those that want a look."""
    shown = (
        f"{one.name} {done_words(one)}, {cut(state_words(one), _CAUSE_WIDTH)}"
        for one in standing.shown
    )
    numbers = f"{count(standing.total, 'account')}: {standing.words}"
    return "; ".join(filter(None, (numbers, *shown, standing.rest)))


def pace_parts(progress: "Progress") -> list[str]:
    """The settled rows of a run, its pace and the limit, and the time that is left."""
    done, rows = progress.done, progress.preview.rows
    allowed, used = progress.allowed_rate, progress.recent_requests_per_second
    pace = f"{progress.recent_rows_per_second:.1f} rows/s"
    if allowed is not None:
        pace = f"{used:.1f} of {allowed:.1f} requests/s"
    parts = [f"{done:,} of {rows:,} rows", pace]
    if left := progress.seconds_left:
        parts.append(f"{duration(left)} left, until {clock_time(left)}")
    return parts


def clock_time(seconds: float, now: datetime | None = None) -> str:
    """The clock time in a number of seconds: `14:32`, or `Wed 14:32` on another day."""
    now = now or datetime.now().astimezone()
    then = now + timedelta(seconds=seconds)
    return then.strftime("%H:%M" if then.date() == now.date() else "%a %H:%M")


def traffic_parts(progress: "Progress") -> list[str]:
    """The number of retries and of 429 answers."""
    parts = []
    if progress.retries:
        parts.append(count(progress.retries, "retry", "retries"))
    if progress.rate_limited:
        parts.append(f"{progress.rate_limited:,} rate-limited (429)")
    return parts


def _counted(counts: dict[str, int]) -> list[str]:
    return [f"{n:,} {outcome}" for outcome, n in counts.items() if n]


def host(url: str) -> str:
    """The host and port of a URL."""
    return urlsplit(url).netloc


def error_text(result: "Result | Cause") -> str:
    """The reason why a row did not succeed: `404 not_found: Task not found`."""
    error = result.error if isinstance(result, Result) else result
    status = f"{result.status} " if result.status else ""
    return f"{status}{error.type}: {error.message}" if error else status.strip()


def printable(text: str) -> str:
    """`text` with control characters escaped, so that JSON keeps its value."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or category(c) == "Zs" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    return "".join(f"\\u{unit}" for unit in units)


def progress_event(progress: "Progress") -> dict[str, object]:
    """The progress of a run, as an object for a program."""
    left, standing = progress.seconds_left, standing_of(progress.accounts)
    event: dict[str, object] = {
        "event": "progress",
        "rows": progress.preview.rows,
        "counts": progress.ledger.counts(progress.preview.rows),
        "rows_per_second": round(progress.rows_per_second, 2),
        "allowed_rate": progress.allowed_rate,
        "used_rate": round(progress.requests_per_second, 2),
        "seconds_left": None if left is None else round(left, 1),
        "requests": progress.requests,
        "retries": progress.retries,
        "rate_limited": progress.rate_limited,
        "paused": round(progress.paused, 3),
        "waiting_for": progress.waiting_for,
    }
    if standing is not None:
        event["accounts"] = standing.record
    return event


def summary_lines(summary: Summary) -> Iterator[str]:
    """The end of a run, in a few lines."""
    files = RunFiles(Path(summary.directory))
    lasted = ""
    if summary.ended is not None and (seconds := _seconds_of(summary)) >= 1:
        lasted = f" in {duration(seconds)}"
    outcomes = ", ".join(_counted(summary.counts)) or "nothing to do"
    yield f"{count(summary.input.rows, 'row')}{lasted}: {outcomes}"
    if summary.mismatches:
        yield (
            f"{count(summary.mismatches, 'Task')} came back with other values than were sent:"
            f" see 'mismatches' in {files.results}"
        )
    sent = f"{count(summary.requests, 'request')}, {count(summary.retries, 'retry', 'retries')}"
    waited = f" ({duration(summary.paused)} of waiting)" if summary.paused else ""
    throttled = f"{summary.rate_limited:,} rate-limited (429){waited}"
    yield f"{sent}, {throttled}, {summary.rows_per_second:.1f} rows/s"
    yield from changed_lines(summary)
    allowed = summary.allowed_rate
    if allowed and summary.requests >= max(_TELLING_REQUESTS, _TELLING_SECONDS * allowed):
        yield f"rate: {summary.used_rate:.1f} requests/s of {allowed:.1f} allowed"
    is_refused = summary.stopped_by is Reason.INVALID_ROWS
    if not is_refused:
        # The problems of a refused input were listed when it was checked.
        yield from cause_lines(summary.problems, files)
    if summary.accounts and not is_refused:
        yield from stopped_lines(summary)
        yield accounts_line(summary)
    if summary.reason and summary.stopped_by is not Reason.ACCOUNTS_STOPPED:
        # That reason names some of the accounts above.
        yield f"{summary.state}: {summary.reason}"
    yield f"results: {files.results}"
    unsuccessful = sum(summary.counts[outcome] for outcome in Outcome if outcome not in SUCCESSES)
    listed = f"{failed_file(summary)} ({count(unsuccessful, 'row')})"
    if is_refused:
        yield f"what is wrong: {listed}"
        again, skip = f"run it again with {setting('overwrite')}", setting("skip_invalid")
        if summary.has_sent is False:
            again = "run the same command again"
        else:
            skip = f"{setting('resume')} {skip}"
        yield f"fix the input and {again}; or {skip} sends its valid rows"
    elif unsuccessful and summary.state is State.FINISHED:
        has_others = unsuccessful > summary.counts[Outcome.CONFLICT]
        yield f"{'to fix and run again' if has_others else 'to look at'}: {listed}"
    elif unsuccessful:
        yield f"not successful so far: {listed}"


def changed_lines(summary: Summary) -> Iterator[str]:
    """What a compared run has changed: the tasks by field, and by their new owner."""
    if not summary.compared:
        return
    for label, counts in (("changed", summary.changed), ("new owners", summary.owners)):
        if counts:
            # Two members may have the same name.
            named = [(summary.people.get(name, name), tasks) for name, tasks in counts.items()]
            named.sort(key=lambda one: (-one[1], one[0]))
            shown = [f"{printable(name)} {n:,}" for name, n in named[:_SHOWN_COUNTS]]
            yield f"{label}: {', '.join(shown)}{', …' if len(counts) > len(shown) else ''}"


def cause_lines(causes: list[Cause], files: RunFiles) -> Iterator[str]:
    """The causes of unsuccessful rows, each with one row as an example."""
    for cause in causes[:_SHOWN_CAUSES]:
        text = cut(error_text(cause), _CAUSE_WIDTH)
        yield f"  {cause.count:,} {cause.outcome}: {text} (row {cause.row:,}, {shorten(cause.id)})"
    if more := sum(cause.count for cause in causes[_SHOWN_CAUSES:]):
        yield f"  {more:,} for other reasons: see {files.summary}"


def failed_file(summary: Summary) -> str:
    """The path of the file of rows that did not succeed."""
    return str(RunFiles(Path(summary.directory)).failed(Format(summary.input.format)))


def cut(text: str, length: int) -> str:
    """`text`, cut to `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _seconds_of(summary: Summary) -> float:
    ended = datetime.fromisoformat(summary.ended or summary.started)
    return (ended - datetime.fromisoformat(summary.started)).total_seconds()


def _by_field(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())
