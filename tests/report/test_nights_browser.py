"""The page of many nights in a browser: Chromium, from a file, without a network."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from bulkupdate import write_nights
from tests.report.test_nights import PARIS, two_weeks
from tests.support.browser import browser, visit
from tests.support.runs import night

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of fourteen nights, and of one in the month before."""
    folder = two_weeks(tmp_path_factory.mktemp("nights") / "runs")
    night(folder / "first.run", "2026-09-30T02:00:00+02:00", counts={"updated": 2}, timezone=PARIS,
          owners={"usr_anna": 2}, rules={"Ben is away": {"updated": 2}})  # fmt: skip
    (folder / "first.run" / "report.html").write_text("<!doctype html><title>first</title>")
    return write_nights(folder)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_nights_are_accessible_and_load_nothing(
    chromium: Browser, page: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    """The page has no accessibility violation, loads nothing else and fits the window."""
    with visit(chromium, page, scheme=scheme, width=width) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = Axe().run(opened.page)
        assert found.violations_count == 0, found.generate_report()
        assert opened.requests == [page.resolve().as_uri()]
        assert opened.errors == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width


def test_nights_need_no_script(chromium: Browser, page: Path) -> None:
    """Without JavaScript, months open, a day leads to its run, and a run to its report."""
    with visit(chromium, page, scripts=False) as opened:
        september = opened.page.locator("details").last
        assert not september.locator("table").first.is_visible()
        september.locator("summary").click()
        assert september.locator("table").first.is_visible()
        september.locator(".calendar a").click()
        assert opened.page.url.endswith("#run-1")
        september.get_by_role("link", name="first.run").click()
        assert opened.page.title() == "first"


def test_each_end_has_its_colour_and_its_sign(chromium: Browser, page: Path) -> None:
    """Days that ended otherwise differ by colour, and by a sign and a word."""
    with visit(chromium, page) as opened:
        colours = {
            tone: opened.page.locator(f".calendar td.{tone}").first.evaluate(
                "one => getComputedStyle(one).backgroundColor"
            )
            for tone in ("good", "idle", "mixed", "bad", "none")
        }
        assert len(set(colours.values())) == 5
        texts = {
            tone: opened.page.locator(f"details[open] .calendar td.{tone}").first.inner_text()
            for tone in ("good", "idle", "mixed", "bad")
        }
    assert "✓ 4" in texts["good"]
    assert "○ nothing to do" in texts["idle"]
    assert "! 1 did not go through" in texts["mixed"]
    assert "✕ stopped" in texts["bad"]


def test_printed_nights_are_light_and_show_every_month(chromium: Browser, page: Path) -> None:
    """On paper the colours are light, and a month that is closed is shown too."""
    with visit(chromium, page, scheme="dark") as opened:
        opened.page.emulate_media(media="print")
        body = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert body == "rgb(255, 255, 255)"
        assert opened.page.locator("#run-1").bounding_box()["height"] > 10  # type: ignore[index]
        assert opened.page.pdf(format="A4").startswith(b"%PDF")


def test_four_hundred_nights_open_in_time(chromium: Browser, tmp_path: Path) -> None:
    """A page of 400 nights opens in two seconds."""
    began = datetime(2025, 10, 1, 2, tzinfo=ZoneInfo(PARIS))
    for n in range(400):
        night(tmp_path / f"{n}.run", (began + timedelta(days=n)).isoformat(), counts={"updated": n})
    path = write_nights(tmp_path)
    seconds = []
    for _ in range(3):  # take the best time: the machine may be busy
        with visit(chromium, path) as opened:
            seconds.append(opened.page.evaluate("performance.now()") / 1000)
    assert min(seconds) < 2
