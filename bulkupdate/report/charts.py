"""Charts of a run over time: SVG that matplotlib draws, in the colours of the page."""

import io
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bulkupdate.models import Outcome
from bulkupdate.report.history import History, Point
from bulkupdate.ui.messages import duration

#: Sizes of a chart in inches: for a wide page and for a narrow one.
WIDE, NARROW = (9.2, 2.9), (4.3, 2.7)

#: Placeholders for the colours of the page, which has light and dark ones.
_COLOURS = {
    "text": "#010101",
    "faint": "#020202",
    "grid": "#030303",
    "surface": "#040404",
    "line": "#050505",
    "limit": "#060606",
    "slow": "#070707",
    "slowest": "#080808",
    Outcome.UPDATED: "#110101",
    Outcome.UNCHANGED: "#110202",
    Outcome.INVALID: "#110303",
    Outcome.FAILED: "#110404",
    Outcome.UNCONFIRMED: "#110505",
    Outcome.CONFLICT: "#110606",
}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "bulkupdate",  # the same run gives the same file
    "font.size": 9,
    "text.color": _COLOURS["text"],
    "axes.labelcolor": _COLOURS["faint"],
    "xtick.color": _COLOURS["faint"],
    "ytick.color": _COLOURS["faint"],
    "axes.facecolor": "none",
    "axes.edgecolor": _COLOURS["grid"],
    "grid.color": _COLOURS["grid"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


class Chart(NamedTuple):
    """A chart in two sizes.

    Attributes:
        title: the title of the chart.
        says: its content in words and numbers, for readers who can't see it.
        wide: SVG for a wide page.
        narrow: SVG for a narrow page.
    """

    title: str
    says: str
    wide: str
    narrow: str


def charts(history: History) -> list[Chart]:
    """The charts of a run; charts without data are left out."""
    if not history.points:
        return []
    found = [
        _chart(history, "Rows per second", _says_rate(history), _draw_rate),
        _chart(history, "Outcomes", _says_outcomes(history), _draw_outcomes),
    ]
    if any(point.latencies for point in history.points):
        says = _says_latencies(history)
        found.insert(1, _chart(history, "Response time", says, _draw_latencies))
    return found


def _chart(
    history: History, title: str, says: str, draw: Callable[[Figure, History], None]
) -> Chart:
    name = title.split()[0].lower()
    wide, narrow = (
        _svg(history, draw, size, f"{name}-{number}-") for number, size in enumerate((WIDE, NARROW))
    )
    return Chart(title, says, wide, narrow)


def _svg(
    history: History,
    draw: Callable[[Figure, History], None],
    size: tuple[float, float],
    prefix: str,
) -> str:
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure, history)
        for axes in figure.axes:
            _mark_sessions(axes, history)
            axes.set_xlim(0, history.seconds)
        figure.axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda at, _: _time_label(at)))
        file = io.StringIO()
        figure.patch.set_visible(False)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return _for_the_page(file.getvalue(), prefix)


def _for_the_page(svg: str, prefix: str) -> str:
    """The `<svg>` element alone, with the page's colours and fonts, and with unique ids."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\1{prefix}", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    # Without a size, the chart fills the width of the page; the viewBox keeps its proportions.
    svg = re.sub(r'\b(width|height)="[\d.]+pt"\s*', "", svg, count=2)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _times(points: list[Point]) -> list[float]:
    """The edges of the points: one more than there are points."""
    return [point.start for point in points] + [points[-1].start + points[-1].seconds]


def _draw_rate(figure: Figure, history: History) -> None:
    points, axes = history.points, figure.subplots()
    rows = [sum(point.outcomes.values()) / point.seconds for point in points]
    axes.stairs(rows, _times(points), fill=True, color=_COLOURS["line"], alpha=0.25)
    axes.stairs(rows, _times(points), color=_COLOURS["line"], linewidth=1.6, label="rows")
    allowed = [float("nan") if point.allowed is None else point.allowed for point in points]
    if any(point.allowed is not None for point in points):
        axes.stairs(
            allowed, _times(points), baseline=None, color=_COLOURS["limit"], linewidth=1.4,
            linestyle="--", label="requests allowed",
        )  # fmt: skip
    _mark_waiting(axes, points)
    _finish(axes, "a second")


def _draw_latencies(figure: Figure, history: History) -> None:
    axes = figure.subplots()
    points = history.points
    middles = [point.start + point.seconds / 2 for point in points]
    nothing = (float("nan"),) * 3
    for index, (label, colour, dash) in enumerate(
        (("half of them", "line", "-"), ("90 %", "slow", "--"), ("99 %", "slowest", ":"))
    ):
        values = [(point.latencies or nothing)[index] for point in points]
        axes.plot(
            middles, values, dash, color=_COLOURS[colour], linewidth=1.6, label=f"{label} within",
            marker="." if len(points) < 3 else None,
        )  # fmt: skip
    _finish(axes, "milliseconds")


def _draw_outcomes(figure: Figure, history: History) -> None:
    points = history.points
    has_samples = any(point.rate_limited is not None for point in points)
    if has_samples:
        axes, below = figure.subplots(2, sharex=True, height_ratios=[3, 1.3])
    else:
        axes, below = figure.subplots(), None
    bottom = [0.0] * len(points)
    for outcome in Outcome:
        values = [point.outcomes.get(outcome, 0) / point.seconds for point in points]
        if not any(values):
            continue
        top = [low + value for low, value in zip(bottom, values, strict=True)]
        axes.stairs(
            top, _times(points), baseline=bottom, fill=True, color=_COLOURS[outcome],
            label=str(outcome),
        )  # fmt: skip
        bottom = top
    _finish(axes, "rows a second")
    if below is not None:
        retries = [point.retries or 0.0 for point in points]
        throttled = [point.rate_limited or 0.0 for point in points]
        below.stairs(retries, _times(points), color=_COLOURS["slow"], label="retries")
        below.stairs(
            throttled,
            _times(points),
            fill=True,
            color=_COLOURS["limit"],
            label="rate-limited (429)",
        )
        _finish(below, "")
        axes.tick_params(labelbottom=False)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))


def _finish(axes: Axes, label: str) -> None:
    axes.margins(x=0, y=0.1)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, axis="y", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 6, 10]))
    if label:
        axes.set_ylabel(label)
    if not axes.get_legend_handles_labels()[0]:
        return
    # A legend that is wider than the page would take its place from the chart.
    figure = axes.get_figure(root=True)
    is_narrow = figure is not None and figure.get_figwidth() <= NARROW[0]
    axes.legend(
        loc="lower right",
        ncols=3 if is_narrow else len(Outcome),
        bbox_to_anchor=(1, 1),
        borderaxespad=0,
        handlelength=1.4,
    )


def _mark_waiting(axes: Axes, points: list[Point]) -> None:
    """Shade the times when the run started no request."""
    label = "waiting for the server"
    for point in points:
        if point.is_waiting and not point.outcomes:
            end = point.start + point.seconds
            axes.axvspan(point.start, end, color=_COLOURS["faint"], alpha=0.15, lw=0, label=label)
            label = "_"


def _mark_sessions(axes: Axes, history: History) -> None:
    """Draw a line where a later session resumes the run."""
    for at, _ in history.sessions[1:]:
        axes.axvline(at, color=_COLOURS["faint"], linewidth=0.8, linestyle=(0, (1, 2)))


def _time_label(seconds: float) -> str:
    """A time as a label: `45 s`, `3:20 min`, `1:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"


def _says_rate(history: History) -> str:
    rows = sum(sum(point.outcomes.values()) for point in history.points)
    most = max(sum(point.outcomes.values()) / point.seconds for point in history.points)
    pace = rows / history.seconds if history.seconds else 0.0
    allowed = {round(p.allowed, 1) for p in history.points if p.allowed is not None}
    limit = ""
    if allowed:
        low, high = min(allowed), max(allowed)
        between = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        limit = f" Requests allowed: {between} a second."
    lasted = duration(history.seconds)
    return f"{pace:.1f} rows a second on average over {lasted}, at most {most:.1f}.{limit}"


def _says_latencies(history: History) -> str:
    known = [point.latencies for point in history.points if point.latencies]
    median, slowest = (max(values[index] for values in known) for index in (0, 2))
    return (
        "Response time of the last request of each row. At the slowest, half of the"
        f" responses took up to {median:.0f} ms, and 99 of 100 up to {slowest:.0f} ms."
    )


def _says_outcomes(history: History) -> str:
    totals: dict[str, int] = {}
    for point in history.points:
        for outcome, rows in point.outcomes.items():
            totals[outcome] = totals.get(outcome, 0) + rows
    parts = [f"{totals[outcome]:,} {outcome}" for outcome in Outcome if outcome in totals]
    throttled = sum(point.rate_limited or 0 for point in history.points)
    retries = sum(point.retries or 0 for point in history.points)
    tries = f" {retries:,.0f} requests were sent again; {throttled:,.0f} responses were a 429."
    has_samples = any(point.retries is not None for point in history.points)
    return f"Settled rows: {', '.join(parts)}.{tries if has_samples else ''}"
