"""Tests that the pictures in the docs show a real run."""

import html
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests import images
from tests.support.browser import browser, visit
from tests.support.fortnight import NAMES
from tests.support.pages import DOCS, PAGES

pytestmark = pytest.mark.slow

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def test_pictures_show_a_real_eventful_run(tmp_path: Path) -> None:
    """The pictures show a real run with an outage and failures as it was."""
    made = images.make(tmp_path)
    assert made.exit_code == 1
    for text in (
        "of 5,000 rows · ",
        "of 400.0 requests/s",
        "left, until ",
        "retries",
        "404 not_found",
    ):
        assert text in made.terminal
    assert "4,849 updated, 151 failed" in made.ending
    assert "report: edits.run/report.html" in made.ending
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == [
        "report-dark.png", "report-light.png", "report-phone.png", "terminal.png",
    ]  # fmt: skip
    assert all((tmp_path / name).stat().st_size > 10_000 for name in pictures)
    report = Path("edits.run/report.html").read_text()
    assert "4,849 of 5,000 rows done; 151 did not go through." in report
    assert "waiting for the server" in report


def test_pictures_of_nights_show_real_ones(tmp_path: Path) -> None:
    """The pictures of many nights show fourteen real ones of rules, with their mishaps."""
    history = images.make_nights(tmp_path)
    assert history.splitlines()[-1].startswith(
        "14 runs: 3 nothing to do, 9 done, 1 did not go through, 1 stopped;"
    )
    assert all(
        (tmp_path / f"nights-{name}.png").stat().st_size > 10_000 for name in ("light", "dark")
    )
    page = Path("nights/nights.html")
    text = page.read_text()
    assert "resumed 2027-03-23 07:30" in text
    assert all(html.escape(name) in text for name in NAMES)
    assert "dora@acme.example" in text
    with browser() as opened:
        for scheme in SCHEMES:
            with visit(opened, page, scheme=scheme) as visited:
                found = Axe().run(visited.page)
                assert found.violations_count == 0, found.generate_report()


def test_every_picture_is_used_in_docs() -> None:
    """Every picture in the docs is shown on one of their pages."""
    texts = "".join(page.read_text() for page in PAGES)
    pictures = [path.name for path in (DOCS / "images").iterdir()]
    assert len(pictures) >= 4
    assert [name for name in pictures if f"images/{name}" not in texts] == []
