"""The images in the docs, from a real run. `python -m tests.images` creates them again."""

import html
import json
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyte
from playwright.sync_api import Browser

from bulkupdate import write_nights
from tests.support.browser import browser, visit
from tests.support.commands import BIN, bulkupdate, serving, start
from tests.support.pages import DOCS
from tests.support.terminal import terminal

ROWS = 5000

#: Number of nights, and those among them that are not like the others.
NIGHTS = 14
_IDLE, _FAILING, _STOPPED, _KILLED = 5, (3, 9), 7, 10
_RULES = ("Ben is away: his tasks go to Anna and Carl", "Overdue calls move to the next workday")

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
    """Create images of the page of fourteen nights: one was killed and resumed, two failed.

    Args:
        directory: the directory for the images. The runs use the current directory.

    Returns:
        The list of the nights.
    """
    Path("nights").mkdir()
    with serving("--rate", "none") as sandbox:
        variables = {**sandbox.environment, "BULKUPDATE_RATE": "none"}
        bulkupdate("export", "-o", "all.jsonl", **variables)
        tasks = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
        for number in range(NIGHTS):
            _night(number, tasks[20 * number : 20 * number + 20], variables)
    history = bulkupdate("history", "nights").stdout
    page = write_nights("nights")
    with browser() as opened:
        _page(opened, page, directory / "nights-light.png", 1100, 1250)
        _page(opened, page, directory / "nights-dark.png", 1100, 1250, dark=True)
    return history


def _night(number: int, tasks: list[dict[str, Any]], variables: dict[str, str]) -> None:
    """A night that gives some tasks to other people."""
    owners = sorted({task["assignedTo"] for task in tasks})[:2]
    is_idle = number % 7 == _IDLE
    lines = [
        {
            "id": task["id"],
            "assignedTo": task["assignedTo"] if is_idle else owners[place % len(owners)],
            "bulkupdate_rule": _RULES[place % 2],
        }
        for place, task in enumerate(tasks)
    ]
    if number in _FAILING:
        lines.append({"id": f"opp_{number:017}", "assignedTo": owners[0]})
    Path("edits.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    day = f"2026-11-{10 + number}"
    command = (
        "run", "edits.jsonl", "--compare", "--out", f"nights/{day}.run", "--now", f"{day}T02:00",
        "--timezone", "Europe/Paris", "--report",
    )  # fmt: skip
    if number == _STOPPED:
        variables = {**variables, "LEMLIST_API_KEY": "wrong"}
    if number == _KILLED:
        with start(*command, **{**variables, "BULKUPDATE_RATE": "2/1s"}) as process:
            log = Path(f"nights/{day}.run/results.jsonl")
            while not (log.exists() and log.read_text().count("\n") > 2):
                time.sleep(0.05)
            process.kill()
    bulkupdate(*command, "--resume", **variables)


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
    opened: Browser, report: Path, path: Path, width: int, height: int, *, dark: bool = False
) -> None:
    """Create an image of the beginning of a page."""
    scheme = "dark" if dark else "light"
    with visit(opened, report, width=width, height=height, scheme=scheme) as visited:  # type: ignore[arg-type]
        visited.page.screenshot(path=path)


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
