"""The live display of a run on a terminal."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from bulkupdate.errors import count
from bulkupdate.models import Outcome, Result
from bulkupdate.plan import Checking
from bulkupdate.session.progress import AccountProgress, Progress
from bulkupdate.ui import messages
from bulkupdate.ui.lines import TextProgress
from bulkupdate.ui.standing import Sampled, Standing, done_words, state_words

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.text import Text

#: Seconds between two updates of the display.
INTERVAL = 0.25

#: Seconds that a check takes before it is shown.
PATIENCE = 1.0

#: Width in columns. A narrower terminal shows less of a failed row.
_NARROW = 60

_STYLES = {
    Outcome.UPDATED: "green",
    Outcome.UNCHANGED: "cyan",
    Outcome.INVALID: "magenta",
    Outcome.FAILED: "bold red",
    Outcome.UNCONFIRMED: "bold yellow",
    Outcome.CONFLICT: "bold bright_blue",
}


class LiveProgress(TextProgress):
    """A display of the progress at the bottom of the terminal, updated four times a second."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(write)
        # Imported before the first row is sent, because it takes a tenth of a second.
        for module in ("console", "live", "progress_bar", "table", "text"):
            import_module(f"rich.{module}")

    async def watch_check(self, checking: Checking) -> None:
        """Update the display until cancelled, or until the terminal is closed."""
        # A short check shows its result at once.
        await asyncio.sleep(PATIENCE)
        await _shown(lambda _: check_picture(checking))

    async def watch(self, progress: Progress) -> None:
        """Update the display until cancelled, or until the terminal is closed."""
        sampled = Sampled(progress)
        await _shown(lambda console: picture(progress, console, sampled()))


async def _shown(draw: "Callable[[Console], RenderableType]") -> None:
    # Imported here: the library is large, and most commands draw nothing.
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with (
        contextlib.suppress(OSError),
        Live(console=console, auto_refresh=False, transient=True) as live,
    ):
        while True:
            live.update(draw(console), refresh=True)
            await asyncio.sleep(INTERVAL)


def check_picture(checking: Checking) -> "RenderableType":
    """The display of a check: how far it is, and a progress bar where that is known."""
    from rich.console import Group
    from rich.text import Text

    line = Text(messages.printable(messages.check_line(checking)))
    share = checking.share
    return line if share is None else Group(line, _bar(1000, int(1000 * share)))


def picture(progress: Progress, console: "Console", standing: Standing | None = None) -> "Group":
    """The display: the server, a progress bar, the pace, the outcomes, the latest failures.

    Args:
        progress: the progress of the run.
        console: the terminal.
        standing: how the accounts stand; None in a run with one key.
    """
    from rich.console import Group
    from rich.text import Text

    is_plain = not console.encoding.lower().startswith("utf")
    between = " | " if is_plain else " · "
    width = console.width
    head = [Text.assemble(("updating ", "bold"), (messages.host(progress.target), "bold cyan"))]
    head.append(Text(f"{messages.duration(progress.elapsed)} so far"))
    pace = [Text(part) for part in messages.pace_parts(progress)]
    lines: list[RenderableType] = [
        "",
        *_joined(head, between, width),
        _bar(progress.goal, progress.done),
        *_joined(pace, between, width),
        *_joined(_outcomes(progress), between, width),
    ]
    if waiting := progress.waiting_for:
        lines.append(Text(f"waiting: {messages.printable(waiting)}", style="bold yellow"))
    if standing is not None:
        lines += _accounts(standing, width)
    if progress.recent:
        lines.append(Text("latest failures:", style="dim"))
        lines += [_problem(result, width) for result in progress.recent]
    return Group(*lines)


def _bar(rows: int, done: int) -> "RenderableType":
    from rich.table import Table

    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    # Rounded down, so that 100 % means the end.
    line.add_row(_progress_bar(rows, done), f"{100 * min(done, rows) // rows} %")
    return line


def _progress_bar(rows: int, done: int) -> "RenderableType":
    from rich.progress_bar import ProgressBar

    # Not rich's default colour, which looks like an error.
    return ProgressBar(total=rows, completed=done, complete_style="cyan", finished_style="green")


def _outcomes(progress: Progress) -> "list[Text]":
    from rich.text import Text

    counts = progress.counts
    parts = [
        Text(f"{counts[outcome]:,} {outcome}", style=style)
        for outcome, style in _STYLES.items()
        if counts[outcome] or outcome is Outcome.UPDATED
    ]
    return [*parts, *(Text(part, style="yellow") for part in messages.traffic_parts(progress))]


def _accounts(standing: Standing, width: int) -> "Iterator[RenderableType]":
    """The accounts that want a look, in columns, between the numbers and the rest."""
    from rich.table import Table
    from rich.text import Text

    yield Text(f"{count(standing.total, 'account')}: {standing.words}", style="dim")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=width // 3)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column()
    for one in standing.shown:
        state = Text(messages.printable(state_words(one)), no_wrap=True, overflow="ellipsis")
        state.stylize(_style_of(one))
        grid.add_row(Text(f"  {one.name}", style="bold"), done_words(one), state)
    if standing.shown:
        yield grid
    if standing.rest:
        yield Text(f"  {standing.rest}", style="dim")


def _style_of(one: AccountProgress) -> str:
    if one.reason is not None:
        return "bold red"
    return "bold yellow" if one.waiting_for is not None else "none"


def _problem(result: Result, width: int) -> "Text":
    from rich.text import Text

    text = Text("  ", no_wrap=True, overflow="ellipsis")
    text.append(f"row {result.row:,} ", style="bold")
    if width >= _NARROW:
        text.append(f"{messages.printable(result.id)} ")
    text.append(f"{result.outcome}: ", style=_STYLES[result.outcome])
    return text.append(messages.printable(messages.error_text(result)))


def _joined(parts: "list[Text]", between: str, width: int) -> "list[Text]":
    """Parts on as few lines as possible. Only a part that is longer than a line is broken."""
    lines: list[Text] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part) <= width:
            lines[-1] = lines[-1] + between + part
        else:
            lines.append(part)
    return lines
