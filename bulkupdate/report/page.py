"""One HTML file that holds all of a report: no other file, no network."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bulkupdate._version import __version__
from bulkupdate.codec import to_json
from bulkupdate.errors import count, setting
from bulkupdate.journal import RunFiles, Summary
from bulkupdate.models import Outcome, Result, State
from bulkupdate.report.charts import charts
from bulkupdate.report.history import MAX_ROWS, History
from bulkupdate.ui.messages import cut, duration, error_text, failed_file, host, printable

#: What each outcome means, for somebody who knows nothing of this program.
_MEANINGS = {
    Outcome.UPDATED: "the server has confirmed the edit",
    Outcome.UNCHANGED: "the row holds nothing to change; nothing was sent",
    Outcome.INVALID: "the row is wrong; nothing was sent for it",
    Outcome.FAILED: "the server refused the edit, or was never reached; the task is as it was",
    Outcome.UNCONFIRMED: "sent, but never confirmed: the edit may or may not be there",
}
_UNPROCESSED = "not tried yet"

#: Characters shown of what was sent, and of what the server said.
_SENT_WIDTH = 160
_MESSAGE_WIDTH = 300


class Verdict(NamedTuple):
    """How a run stands in a sentence.

    Attributes:
        kind: `good`, `mixed`, `bad` or `open`.
        title: the sentence.
        advice: what to do now.
    """

    kind: str
    title: str
    advice: str


class Tile(NamedTuple):
    """A number, and what it counts."""

    number: str
    label: str


class Part(NamedTuple):
    """Rows of one outcome."""

    outcome: str
    rows: int
    percent: float
    meaning: str


def page(history: History) -> str:
    """The report of a run, as HTML."""
    environment = Environment(
        loader=PackageLoader("bulkupdate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = Path(__file__).parent / "templates"
    summary = history.summary
    return environment.get_template("report.html").render(
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
        facts=_facts(history),
        rows=Markup(_rows(history)),  # noqa: S704 - nothing in it can end the element
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


def _target(summary: Summary) -> str:
    return "the sandbox" if summary.sandbox else host(summary.base_url)


def verdict(history: History) -> Verdict:
    """How a run stands, in words for somebody who did not run it."""
    summary, counts = history.summary, history.counts
    rows = sum(counts.values())
    done = counts[Outcome.UPDATED] + counts[Outcome.UNCHANGED]
    left, amiss = counts["unprocessed"], rows - done - counts["unprocessed"]
    failed = printable(failed_file(summary))
    if summary.state is State.RUNNING:
        return Verdict(
            "open",
            f"Under way, or cut off: {done:,} of {count(rows, 'row')} done, {left:,} not tried.",
            "If nothing is running, it was cut off: run it again with"
            f" {setting('resume')}. Nothing is lost.",
        )
    if summary.exit_code == 2:
        return Verdict(
            "bad",
            f"Nothing was sent: {counts['invalid']:,} of {count(rows, 'row')} are wrong.",
            f"What is wrong with each is below, and in {failed}.",
        )
    if left:
        return Verdict(
            "bad" if summary.state is State.STOPPED and summary.exit_code else "mixed",
            f"Ended early: {done:,} of {count(rows, 'row')} done, {left:,} not tried yet"
            + (f", {amiss:,} did not go through." if amiss else "."),
            f"Why: {printable(summary.reason or 'unknown')}. Run it again with"
            f" {setting('resume')} to continue.",
        )
    if amiss:
        return Verdict(
            "mixed" if done else "bad",
            f"{done:,} of {count(rows, 'row')} done; {amiss:,} did not go through.",
            f"They are listed below, and in {failed}, which can be mended and run again.",
        )
    advice = "Nothing is left to do."
    if history.mismatches:
        advice = (
            f"But {count(history.mismatches, 'Task')} came back with other values than were sent:"
            f" see 'mismatches' in {printable(str(RunFiles(Path(summary.directory)).results))}."
        )
    title = "The one row is done." if rows == 1 else f"All {rows:,} rows are done."
    return Verdict("mixed" if history.mismatches else "good", title, advice)


def _tiles(history: History) -> list[Tile]:
    counts = history.counts
    rows = sum(counts.values())
    amiss = sum(counts[o] for o in (Outcome.INVALID, Outcome.FAILED, Outcome.UNCONFIRMED))
    return [
        Tile(f"{rows:,}", "rows"),
        Tile(f"{counts[Outcome.UPDATED]:,}", "updated"),
        Tile(f"{amiss:,}", "did not go through"),
        Tile(f"{counts['unprocessed']:,}", "not tried"),
        Tile(duration(history.seconds), "of running time"),
    ]


def _parts(history: History) -> list[Part]:
    rows = sum(history.counts.values())
    meanings = {str(outcome): text for outcome, text in _MEANINGS.items()}
    meanings["unprocessed"] = _UNPROCESSED
    return [
        Part(outcome, history.counts[outcome], 100 * history.counts[outcome] / rows, meaning)
        for outcome, meaning in meanings.items()
        if history.counts[outcome]
    ]


def _facts(history: History) -> list[tuple[str, str]]:
    """What else there is to know, for whoever looks into it."""
    summary = history.summary
    read = summary.input
    how = ", ".join(
        filter(None, (read.format.upper(), read.encoding, read.compression, read.sheet))
    )
    facts = [
        ("Input", f"{read.path} ({how})"),
        ("SHA-256", read.sha256),
        ("Columns", ", ".join(f"{name} as {field}" for name, field in read.columns.items())),
        ("Sent to", "the sandbox, a stand-in" if summary.sandbox else summary.base_url),
        ("State", _state(summary)),
        ("Exit code", "" if summary.exit_code is None else str(summary.exit_code)),
        ("Last session", f"{summary.started} to {summary.ended or 'now'}"),
        ("Requests of it", "" if summary.state is State.RUNNING else _requests(summary)),
        ("Run directory", summary.directory),
        ("bulkupdate", summary.version),
    ]
    return [(name, printable(text)) for name, text in facts if text]


def _state(summary: Summary) -> str:
    if summary.state is State.RUNNING:
        return "running, or cut off"
    return f"{summary.state}: {summary.reason}" if summary.reason else str(summary.state)


def _requests(summary: Summary) -> str:
    return (
        f"{count(summary.requests, 'request')}, {count(summary.retries, 'retry', 'retries')},"
        f" {summary.rate_limited:,} times 429"
    )


def _rows(history: History) -> str:
    """The rows of the table as JSON that can stand inside an element of the page."""
    rows = [_cells(result) for result in history.unsuccessful]
    # "<" is all that could end the element or begin a comment in it.
    return to_json(rows).decode().replace("<", "\\u003c").replace("\u2028", "\\u2028")


def _cells(result: Result) -> list[object]:
    sent = to_json(result.sent).decode() if result.sent else ""
    return [
        result.row,
        printable(result.id),
        result.outcome,
        printable(cut(error_text(result), _MESSAGE_WIDTH)),
        printable(cut(sent, _SENT_WIDTH)),
        result.attempts,
    ]
