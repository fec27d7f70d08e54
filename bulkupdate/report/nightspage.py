"""The page of many nights: one HTML file that needs no network and no script."""

import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from bulkupdate._version import __version__
from bulkupdate.errors import count
from bulkupdate.journal import End, RunFiles
from bulkupdate.models import Outcome
from bulkupdate.report.nights import MAX_NIGHTS, Day, Month, Nights, Person
from bulkupdate.report.page import SHOWN_RULES, Tile, Verdict, environment, rule_outcomes, rule_rows
from bulkupdate.ui.messages import cut, printable
from bulkupdate.ui.past import (
    END_WORDS,
    Night,
    account_words,
    end_words,
    outcome_words,
    unread_lines,
    unsuccessful,
)

#: Number of people and of causes to show.
_SHOWN = 100

#: Number of runs that a cell of the calendar shows, and of nights that a cause names.
_SHOWN_IN_CELL = 3
_SHOWN_NIGHTS = 5

_MESSAGE_WIDTH = 300

#: The tone of each end, and the sign that stands for it.
_TONES = {
    End.NOTHING_TO_DO: ("idle", "○"),
    End.DONE: ("good", "✓"),
    End.IN_USE: ("open", "…"),
    End.ROWS_LEFT: ("mixed", "!"),
    End.UNSUCCESSFUL: ("mixed", "!"),
    End.REFUSED: ("bad", "✕"),
    End.KILLED: ("bad", "✕"),
    End.STOPPED: ("bad", "✕"),
}


class _Mark(NamedTuple):
    """A run in a cell of the calendar."""

    anchor: str
    tone: str
    sign: str
    time: str
    words: str
    number: str


class _Line(NamedTuple):
    """A run in the table of its month."""

    anchor: str
    tone: str
    sign: str
    began: str
    end: str
    rows: str
    accounts: str
    changed: str
    note: str
    directory: str
    link: str


def nights_page(nights: Nights, folder: Path, link: Callable[[Night], str]) -> str:
    """The page of many nights, as HTML.

    Args:
        nights: what the runs have done.
        folder: the folder that holds all runs.
        link: the address of the report of a run; "" without a report.
    """
    templates = Path(__file__).parent / "templates"
    anchors = {one.path: f"run-{number}" for number, one in enumerate(nights.all, 1)}
    shown = _Shown(nights, anchors, folder, link)
    people, causes = nights.people(), nights.causes
    style = "".join((templates / name).read_text("utf-8") for name in ("report.css", "nights.css"))
    template = environment().get_template("nights.html")
    text: str = template.render(
        title=printable(folder.resolve().name or str(folder)),
        verdict=_verdict(nights),
        tiles=_tiles(nights),
        zone=nights.clock.name,
        months=[shown.month(month) for month in nights.months()],
        hidden=max(0, len(nights.all) - MAX_NIGHTS),
        max_nights=f"{MAX_NIGHTS:,}",
        people=[_person(one) for one in people[:_SHOWN]],
        more_people=max(0, len(people) - _SHOWN),
        rules=rule_rows(nights.by_rule())[:SHOWN_RULES],
        more_rules=max(0, len(nights.rules) - SHOWN_RULES),
        rule_outcomes=rule_outcomes(nights.rules),
        stopped=[
            (*_TONES[end], END_WORDS[end], why, shown.links(some))
            for end, why, some in nights.stopped()[:_SHOWN]
        ],
        causes=[
            (one, printable(cut(one.cause.message, _MESSAGE_WIDTH)), shown.links([one.night]))
            for one in causes[:_SHOWN]
        ],
        more_causes=max(0, len(causes) - _SHOWN),
        unread=[printable(cut(line, 2 * _MESSAGE_WIDTH)) for line in unread_lines(nights.unread)],
        style=Markup(style),  # noqa: S704 - our own
        version=__version__,
        made=f"{nights.clock.shown(datetime.now(UTC))} ({nights.clock.name})",
        count=count,
    )
    return text


def linked_from(page: Path) -> Callable[[Night], str]:
    """The addresses of reports, as links of a page at this path."""
    folder = page.resolve().parent

    def link(night: Night) -> str:
        report = RunFiles(night.path).report
        if not report.is_file():
            return ""
        # Separated, so that no name is taken for a scheme, as in `http:x`.
        return quote(f"./{os.path.relpath(report.resolve(), folder)}", errors="surrogateescape")

    return link


class _Shown:
    """The runs as the page shows them.

    Args:
        nights: all runs.
        anchors: the names of their lines in the page.
        folder: the folder that holds all runs.
        link: the address of the report of a run.
    """

    def __init__(
        self,
        nights: Nights,
        anchors: dict[Path, str],
        folder: Path,
        link: Callable[[Night], str],
    ) -> None:
        self._folder = folder.resolve()
        self._clock = nights.clock
        self._anchors = anchors
        self._link = link
        self._linked = {one.path for one in nights.all[-MAX_NIGHTS:]}

    def month(self, month: Month) -> dict[str, object]:
        """A month: its calendar, and a line for each run."""
        return {
            "name": month.name,
            "says": _month_words(month),
            "weeks": [
                [None if day is None else self._cell(day) for day in week] for week in month.weeks
            ],
            "lines": [self._line(night) for night in reversed(month.nights)],
        }

    def links(self, nights: list[Night]) -> tuple[list[tuple[str, str]], int]:
        """When some runs began, with the anchors of their lines, and the number of all others."""
        shown = nights[:_SHOWN_NIGHTS]
        return [(self._clock.shown(one.began), self._anchor(one)) for one in shown], len(
            nights
        ) - len(shown)

    def _anchor(self, night: Night) -> str:
        return self._anchors[night.path] if night.path in self._linked else ""

    def _cell(self, day: Day) -> dict[str, object]:
        worst = day.worst
        return {
            "day": day.day.day,
            "tone": _TONES[worst][0] if worst else "none",
            "marks": [self._mark(one) for one in day.nights[:_SHOWN_IN_CELL]],
            "more": max(0, len(day.nights) - _SHOWN_IN_CELL),
        }

    def _mark(self, night: Night) -> _Mark:
        told = {
            End.DONE: night.counts[Outcome.UPDATED],
            End.UNSUCCESSFUL: unsuccessful(night.counts),
        }.get(night.end)
        return _Mark(
            self._anchor(night),
            *_TONES[night.end],
            time=self._clock.shown(night.began)[-5:],
            words=END_WORDS[night.end],
            number=f"{told:,}" if told else "",
        )

    def _line(self, night: Night) -> _Line:
        return _Line(
            self._anchors[night.path],
            *_TONES[night.end],
            began=self._clock.shown(night.began),
            end=end_words(night),
            rows=outcome_words(night.counts),
            accounts=printable(account_words(night)),
            changed="not counted" if night.changed is None else f"{night.changed:,}",
            note=self._resumed(night),
            directory=printable(self._name(night.path)),
            link=self._link(night),
        )

    def _name(self, path: Path) -> str:
        """A run directory as people know it in the folder."""
        is_inside = path.resolve().parent == self._folder
        return path.name if is_inside and path.name else str(path)

    def _resumed(self, night: Night) -> str:
        if not night.last_session:
            return ""
        return f"resumed {self._clock.shown(datetime.fromisoformat(night.last_session))}"


def _verdict(nights: Nights) -> Verdict:
    """The newest run in a sentence, and how many of all went through."""
    newest = nights.all[-1]
    tone = _TONES[newest.end][0]
    well = sum(one.end.is_success for one in nights.all)
    when = nights.clock.shown(newest.began)
    runs = "The one run" if len(nights.all) == 1 else f"All {len(nights.all):,} runs"
    if well < len(nights.all):
        runs = f"{well:,} of {count(len(nights.all), 'run')}"
    return Verdict(
        "good" if tone == "idle" else tone,
        f"The newest run, {when}: {end_words(newest)}.",
        f"{runs} went through or had nothing to do.",
    )


def _tiles(nights: Nights) -> list[Tile]:
    ends = Counter(one.end for one in nights.all)
    bad = sum(number for end, number in ends.items() if not end.is_success and end != End.IN_USE)
    changed = sum(one.changed or 0 for one in nights.all)
    return [
        Tile(f"{len(nights.all):,}", "run" if len(nights.all) == 1 else "runs"),
        Tile(f"{ends[End.DONE]:,}", "done"),
        Tile(f"{ends[End.NOTHING_TO_DO]:,}", "with nothing to do"),
        Tile(f"{bad:,}", "to look at"),
        Tile(f"{changed:,}", "tasks changed, night by night"),
    ]


def _month_words(month: Month) -> str:
    """A month in a line."""
    ends = Counter(one.end for one in month.nights)
    words = ", ".join(f"{ends[end]:,} {END_WORDS[end]}" for end in End if ends[end])
    missed = f"; {count(month.missed, 'day')} without a run" if month.missed else ""
    return f"{count(len(month.nights), 'run')}: {words}{missed}"


def _person(person: Person) -> tuple[str, str, str, str]:
    return printable(person.name), f"{person.got:,}", f"{person.gave:,}", f"{person.nights:,}"
