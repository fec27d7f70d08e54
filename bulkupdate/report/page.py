"""The page of a report: one HTML file that needs no other file and no network."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bulkupdate._version import __version__
from bulkupdate.codec import to_json
from bulkupdate.errors import count, setting
from bulkupdate.journal import RunFiles, Summary
from bulkupdate.models import SUCCESSES, Outcome, State
from bulkupdate.report.accounts import account_table
from bulkupdate.report.changes import Changes, NewOwner
from bulkupdate.report.charts import charts
from bulkupdate.report.history import MAX_ROWS, History
from bulkupdate.ui.messages import cut, duration, error_text, failed_file, host, printable

#: Meaning of each outcome, for readers who don't know bulkupdate.
_MEANINGS = {
    Outcome.UPDATED: "the server confirmed the edit",
    Outcome.UNCHANGED: "the row holds nothing to change; nothing was sent",
    Outcome.INVALID: "the row has a problem; nothing was sent",
    Outcome.FAILED: "the server refused the edit, or was never reached; the task is unchanged",
    Outcome.UNCONFIRMED: "sent, but not confirmed; the server may or may not have applied the edit",
    Outcome.CONFLICT: "the task is not as the row expects it, or was not seen; nothing was sent",
}
_ALREADY = "the task already was as the row asks; nothing was sent"
_UNPROCESSED = "not tried yet"

#: Number of characters to show of a request body, and of an error message.
_SENT_WIDTH = 160
_MESSAGE_WIDTH = 300

#: Number of characters to show of a value before and after a change.
_VALUE_WIDTH = 160

#: The columns of the table of changes, with and without a comparison: the title, and the kind of
#: their cells.
_CHANGE_COLUMNS = (
    ("Row", "number"), ("Task", "id"), ("Title", "text"), ("Field", "short"), ("Before", "text"),
    ("After", "text"), ("When", "text short"),
)  # fmt: skip
_BLIND_COLUMNS = (*_CHANGE_COLUMNS[:4], ("New value", "text"), ("When", "text short"))

#: The columns of the table of rows that did not go through.
_ROW_COLUMNS = (
    ("Row", "number"), ("Task", "id"), ("Outcome", "outcome"), ("Why", "why"), ("Sent", "code"),
    ("Attempts", "number"),
)  # fmt: skip

_Column = tuple[str, str]

#: What stands for the server of a run whose accounts have several.
_SEVERAL = "several servers"

#: The column that both have in a run with accounts, behind the number of the row.
_ACCOUNT_COLUMN = ("Account", "text")

#: Number of new owners to show, and of earlier owners to show of each.
_SHOWN_OWNERS = 100
_SHOWN_GIVERS = 10

#: Number of rules to show.
SHOWN_RULES = 100


class Verdict(NamedTuple):
    """The state of a run in a sentence.

    Attributes:
        kind: `good`, `mixed`, `bad` or `open`.
        title: the sentence.
        advice: the next step for the reader.
    """

    kind: str
    title: str
    advice: str


class Tile(NamedTuple):
    """A number and its label."""

    number: str
    label: str


class Part(NamedTuple):
    """The rows with one outcome."""

    outcome: str
    rows: int
    percent: float
    meaning: str


def environment() -> Environment:
    """The templates. What they show is escaped."""
    return Environment(
        loader=PackageLoader("bulkupdate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(history: History) -> str:
    """The report of a run, as HTML."""
    folder = Path(__file__).parent / "templates"
    summary = history.summary
    template = environment().get_template("report.html")
    text: str = template.render(
        title=printable(f"{summary.input.path} → {_target(summary)}"),
        summary=summary,
        verdict=verdict(history),
        is_trial=summary.sandbox,
        tiles=_tiles(history),
        parts=_parts(history),
        causes=[
            (cause, printable(cause.id), printable(cut(cause.message, _MESSAGE_WIDTH)))
            for cause in history.causes
        ],
        charts=[
            (chart, Markup(chart.wide), Markup(chart.narrow))  # noqa: S704 - matplotlib's own
            for chart in charts(history)
        ],
        sessions=[f"{began:%Y-%m-%d %H:%M:%S} UTC" for _, began in history.sessions],
        rules=rule_rows(history.rules)[:SHOWN_RULES],
        more_rules=max(0, len(history.rules) - SHOWN_RULES),
        rule_outcomes=rule_outcomes(history.rules),
        facts=_facts(history),
        changes=_changes(history),
        owners=_owners(history),
        change_columns=_columns(_CHANGE_COLUMNS if summary.compared else _BLIND_COLUMNS, summary),
        row_columns=_columns(_ROW_COLUMNS, summary),
        accounts=account_table(history),
        compare=setting("compare"),
        change_rows=Markup(_in_page(_change_rows(history))),  # noqa: S704 - as below
        rows=Markup(_in_page(_cells(history))),  # noqa: S704 - nothing in it can end the element
        shown=len(history.unsuccessful),
        not_shown=history.unsuccessful_count - len(history.unsuccessful),
        max_rows=f"{MAX_ROWS:,}",
        failed=printable(failed_file(summary)),
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),  # noqa: S704
        script=Markup((folder / "report.js").read_text(encoding="utf-8")),  # noqa: S704
        version=__version__,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        count=count,
    )
    return text


def _target(summary: Summary) -> str:
    if summary.sandbox:
        return "the sandbox"
    return host(summary.base_url) if summary.base_url else _SEVERAL


def _columns(columns: tuple[_Column, ...], summary: Summary) -> tuple[_Column, ...]:
    """The columns of a table of rows, with the account where there are several."""
    first, *rest = columns
    return (first, _ACCOUNT_COLUMN, *rest) if summary.accounts else columns


def verdict(history: History) -> Verdict:
    """The state of a run in words, for readers who did not start it."""
    summary, counts = history.summary, history.counts
    rows = sum(counts.values())
    done = counts[Outcome.UPDATED] + counts[Outcome.UNCHANGED]
    left, unsuccessful = counts["unprocessed"], rows - done - counts["unprocessed"]
    failed = printable(failed_file(summary))
    if summary.state is State.RUNNING:
        return Verdict(
            "open",
            f"Running, or interrupted: {done:,} of {count(rows, 'row')} done, {left:,} not tried.",
            "If bulkupdate is not running, the run was interrupted: run it again with"
            f" {setting('resume')}. Nothing is lost.",
        )
    if summary.exit_code == 2:
        return Verdict(
            "bad",
            f"Nothing was sent: {counts['invalid']:,} of {count(rows, 'row')} are invalid.",
            f"The problem of each row is below, and in {failed}.",
        )
    if left:
        return Verdict(
            "bad" if summary.state is State.STOPPED and summary.exit_code else "mixed",
            f"Ended early: {done:,} of {count(rows, 'row')} done, {left:,} not tried yet"
            + (f", {unsuccessful:,} did not go through." if unsuccessful else "."),
            f"Reason: {printable(summary.reason or 'unknown')}. Run it again with"
            f" {setting('resume')} to continue.",
        )
    if unsuccessful:
        return Verdict(
            "mixed" if done else "bad",
            f"{done:,} of {count(rows, 'row')} done; {unsuccessful:,} did not go through.",
            _advice(counts, unsuccessful, failed),
        )
    advice = "Nothing is left to do."
    if history.mismatches:
        advice = (
            f"But {count(history.mismatches, 'Task')} came back with other values than were sent:"
            f" see 'mismatches' in {printable(str(RunFiles(Path(summary.directory)).results))}."
        )
    title = "The one row is done." if rows == 1 else f"All {rows:,} rows are done."
    return Verdict("mixed" if history.mismatches else "good", title, advice)


def _advice(counts: dict[str, int], unsuccessful: int, failed: str) -> str:
    """The next step where rows of a finished run did not go through."""
    listed = f"They are listed below, and in {failed}"
    conflicts = counts[Outcome.CONFLICT]
    retry = f"with {setting('resume')} and {setting('retry_failed')}"
    if not conflicts:
        return f"{listed}: fix that file, then run it."
    if conflicts == unsuccessful:
        return f"{listed}, with what conflicts. Look at them, then try them again {retry}."
    return f"{listed}: look at the conflicts. Fix that file and run it, or try again {retry}."


def _tiles(history: History) -> list[Tile]:
    counts = history.counts
    rows = sum(counts.values())
    unsuccessful = sum(counts[outcome] for outcome in Outcome if outcome not in SUCCESSES)
    return [
        Tile(f"{rows:,}", "rows"),
        Tile(f"{counts[Outcome.UPDATED]:,}", "updated"),
        Tile(f"{unsuccessful:,}", "did not go through"),
        Tile(f"{counts['unprocessed']:,}", "not tried"),
        Tile(duration(history.seconds), "of running time"),
    ]


def _parts(history: History) -> list[Part]:
    rows = sum(history.counts.values())
    meanings = {str(outcome): text for outcome, text in _MEANINGS.items()}
    meanings[Outcome.UNCHANGED] = _unchanged(history)
    meanings["unprocessed"] = _UNPROCESSED
    return [
        Part(outcome, history.counts[outcome], 100 * history.counts[outcome] / rows, meaning)
        for outcome, meaning in meanings.items()
        if history.counts[outcome]
    ]


def rule_outcomes(rules: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The outcomes that rows of rules have."""
    return [one for one in Outcome if any(one in counts for counts in rules.values())]


def rule_rows(rules: Mapping[str, Mapping[str, int]]) -> list[tuple[str, list[str]]]:
    """The rows of the table of rules: the name, and the number of rows with each outcome."""
    outcomes = rule_outcomes(rules)
    return [
        (printable(cut(name, _MESSAGE_WIDTH)), [f"{counts.get(one, 0):,}" for one in outcomes])
        for name, counts in rules.items()
    ]


def _unchanged(history: History) -> str:
    """Why nothing was sent for the unchanged rows."""
    already, rows = history.already, history.counts[Outcome.UNCHANGED]
    if not already:
        return _MEANINGS[Outcome.UNCHANGED]
    if already == rows:
        return _ALREADY
    return (
        f"nothing was sent: for {count(already, 'row')}, the task already was as the row asks, and"
        f" {count(rows - already, 'row')} {'holds' if rows - already == 1 else 'hold'} nothing to"
        " change"
    )


def _facts(history: History) -> list[tuple[str, str]]:
    """Further facts about the run: name and text."""
    summary = history.summary
    read = summary.input
    how = ", ".join(
        filter(None, (read.format.upper(), read.encoding, read.compression, read.sheet))
    )
    facts = [
        ("Input", f"{read.path} ({how})"),
        ("SHA-256", read.sha256),
        ("Columns", ", ".join(f"{name} as {field}" for name, field in read.columns.items())),
        (
            "Sent to",
            "the sandbox, not lemlist" if summary.sandbox else summary.base_url or _SEVERAL,
        ),
        ("State", _state(summary)),
        ("Exit code", "" if summary.exit_code is None else str(summary.exit_code)),
        ("Last session", f"{summary.started} to {summary.ended or 'now'}"),
        ("Its requests", "" if summary.state is State.RUNNING else _requests(summary)),
        ("Run directory", summary.directory),
        ("bulkupdate", summary.version),
    ]
    return [(name, printable(text)) for name, text in facts if text]


def _state(summary: Summary) -> str:
    if summary.state is State.RUNNING:
        return "running, or interrupted"
    return f"{summary.state}: {summary.reason}" if summary.reason else str(summary.state)


def _requests(summary: Summary) -> str:
    return (
        f"{count(summary.requests, 'request')}, {count(summary.retries, 'retry', 'retries')},"
        f" {summary.rate_limited:,} rate-limited (429)"
    )


def _changes(history: History) -> Changes | None:
    """What the run has changed, if there is anything to say."""
    changes = history.changes
    return changes if changes is not None and (changes.tasks or changes.in_doubt) else None


def _owners(history: History) -> list[tuple[str, str, str]]:
    """Who got tasks: the name, the number of tasks, and who they are from."""
    owners = history.changes.owners[:_SHOWN_OWNERS] if history.changes is not None else []
    return [(printable(one.name), f"{one.tasks:,}", _giving(one)) for one in owners]


def _giving(owner: NewOwner) -> str:
    parts = [f"{name} {tasks:,}" for name, tasks in owner.givers[:_SHOWN_GIVERS]]
    more = len(owner.givers) - len(parts)
    return printable(", ".join(parts)) + (f" and {more:,} more" if more else "")


def _change_rows(history: History) -> Iterator[list[object]]:
    """The rows of the table of changes. Without a comparison, no value before is known."""
    summary = history.summary
    for row, id_, title, field, before, after, when, account in (
        history.changes.lines if history.changes else ()
    ):
        known = (before,) if summary.compared else ()
        named = (account,) if summary.accounts else ()
        texts = (*named, id_, title, field, *known, after, when)
        yield [row, *(printable(cut(text, _VALUE_WIDTH)) for text in texts)]


def _in_page(rows: Iterable[list[object]]) -> str:
    """The rows of a table as JSON that is safe inside an element of the page."""
    # Only "<" could end the element or begin a comment in it.
    return to_json([*rows]).decode().replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _cells(history: History) -> Iterator[list[object]]:
    """The rows of the table of rows that did not go through."""
    for result in history.unsuccessful:
        sent = to_json(result.sent).decode() if result.sent else ""
        yield [
            result.row,
            *([printable(result.account or "")] if history.summary.accounts else []),
            printable(result.id),
            result.outcome,
            printable(cut(error_text(result), _MESSAGE_WIDTH)),
            printable(cut(sent, _SENT_WIDTH)),
            result.attempts,
        ]
