"""The images in the docs, from a real run. `python -m tests.images` creates them again."""

import asyncio
import html
import sys
import tempfile
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyte
from playwright.sync_api import Browser

from bulkupdate import write_nights, write_report
from bulkupdate.codec import replaced, to_json
from bulkupdate.fields import due_date
from bulkupdate.journal import RunFiles, read_summary
from tests.support.browser import browser, visit
from tests.support.commands import BIN, bulkupdate, serving
from tests.support.fortnight import NIGHTS, Way, fortnight
from tests.support.pages import DOCS
from tests.support.terminal import terminal

ROWS = 5000

#: One task in thirty-three does not exist, so 3 % of the rows fail.
_MISSING = 33

#: Colours of a dark terminal.
_COLOURS = {
    "default": "#d5dae1", "black": "#5c6370", "red": "#f0695a", "green": "#6fd19d",
    "brown": "#f0c674", "blue": "#7fb0ff", "magenta": "#cf9cff", "cyan": "#6cd3e0",
    "white": "#ffffff",
}  # fmt: skip

_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; display: inline-block; padding: 14px 18px; background: #171a1f; }}
pre {{ margin: 0; font: 14px/1.35 "DejaVu Sans Mono", Menlo, Consolas, monospace; color: #d5dae1; }}
</style><pre>{lines}</pre>"""


class Pictures(NamedTuple):
    """The result of `make`.

    Attributes:
        terminal: the text on the terminal in the middle of the run.
        ending: the text on the terminal at the end of the run.
        exit_code: the exit code of the run.
    """

    terminal: str
    ending: str
    exit_code: int


def make(directory: Path) -> Pictures:
    """Create images of a run of 5,000 rows, with an outage in the middle and 3 % failures.

    Args:
        directory: the directory for the images. The run uses the current directory.
    """
    ids = [f"opp_{number:017}" for number in range(1, ROWS + 1)]
    Path("edits.csv").write_text(
        "id,assignedTo,title\n" + "".join(f"{i},usr_7087fd30fef190087,Call back\n" for i in ids)
    )
    there = (one for number, one in enumerate(ids, 1) if number % _MISSING)
    Path("team.csv").write_text("id,title\n" + "".join(f"{one},x\n" for one in there))
    server = ("--tasks", "team.csv", "--rate", "800/2s", "--latency", "5:40", "--outage", "4:6")
    flags = ("--rate", "800/2s", "--workers", "64", "--report")
    with (
        serving(*server) as sandbox,
        terminal("run", "edits.csv", *flags, lines=20, variables=sandbox.environment) as screen,
        browser() as opened,
    ):
        middle = screen.wait_for(lambda text: "answers again" in text and "3,2" in text, 60)
        _terminal(opened, screen.screen, directory / "terminal.png")
        exit_code = screen.finish()
        report = Path("edits.run/report.html")
        _page(opened, report, directory / "report-light.png", 1100, 1500)
        _page(opened, report, directory / "report-dark.png", 1100, 1500, dark=True)
        _page(opened, report, directory / "report-phone.png", 390, 1500)
    return Pictures(middle, screen.text, exit_code)


def make_nights(directory: Path) -> str:
    """Create images of the page of fourteen nights of rules; see `tests.support.fortnight`.

    Args:
        directory: the directory for the images. The runs use the current directory.

    Returns:
        The list of the nights.
    """
    folder = Path("nights")
    asyncio.run(fortnight(folder, give_up_after=2))
    for night in NIGHTS:
        if night.way is Way.KILLED:
            _date(folder / night.directory, night.morning)
        write_report(folder / night.directory)
    history = bulkupdate("history", "nights").stdout
    page = write_nights(folder)
    with browser() as opened:
        _page(opened, page, directory / "nights-light.png", 1100, 1250, whole=True)
        _page(opened, page, directory / "nights-dark.png", 1100, 1250, whole=True, dark=True)
    return history


def _date(directory: Path, began: datetime) -> None:
    """Date the last session of a run by the clock of its nights, not by that of this machine."""
    summary = replaced(read_summary(directory), started=due_date(began))
    RunFiles(directory).summary.write_bytes(to_json(summary))


def _terminal(opened: Browser, screen: pyte.Screen, path: Path) -> None:
    """Create an image of a terminal."""
    with tempfile.TemporaryDirectory() as directory:
        page = Path(directory) / "terminal.html"
        last = max(number for number, line in enumerate(screen.display) if line.strip())
        lines = [_line(screen.buffer[number], screen.columns) for number in range(last + 1)]
        page.write_text(_PAGE.format(lines="\n".join(lines)))
        with visit(opened, page) as visited:
            visited.page.locator("body").screenshot(path=path)


def _line(cells: Any, columns: int) -> str:
    runs = groupby(
        (cells[column] for column in range(columns)), key=lambda cell: (cell.fg, cell.bold)
    )
    return "".join(
        f'<span style="color: {_colour(fg)}{"; font-weight: 700" if bold else ""}">'
        f"{html.escape(''.join(cell.data for cell in run))}</span>"
        for (fg, bold), run in runs
    )


def _colour(name: str) -> str:
    return _COLOURS.get(name.removeprefix("bright"), f"#{name}")


def _page(
    opened: Browser,
    report: Path,
    path: Path,
    width: int,
    height: int,
    *,
    dark: bool = False,
    whole: bool = False,
) -> None:
    """Create an image of a page: of its beginning, or of all of it."""
    scheme = "dark" if dark else "light"
    with visit(opened, report, width=width, height=height, scheme=scheme) as visited:  # type: ignore[arg-type]
        visited.page.screenshot(path=path, full_page=whole)


if __name__ == "__main__":
    import os

    images = DOCS / "images"
    images.mkdir(exist_ok=True)
    os.environ["PATH"] = f"{BIN}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        made = make(images)
        make_nights(images)
    sys.exit(made.exit_code != 1)
