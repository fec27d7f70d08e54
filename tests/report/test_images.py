"""The pictures in the docs are of a real run, and show what they are to show."""

from pathlib import Path

from tests import images
from tests.support.pages import DOCS, PAGES


def test_a_run_with_an_outage_and_failures_is_shown_as_it_is(tmp_path: Path) -> None:
    made = images.make(tmp_path)
    assert made.exit_code == 1
    for said in (
        "of 5,000 rows · ",
        "of 400.0 requests/s",
        "left, until ",
        "retries",
        "404 not_found",
    ):
        assert said in made.terminal
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


def test_every_picture_of_the_docs_is_shown_somewhere() -> None:
    texts = "".join(page.read_text() for page in PAGES)
    pictures = [path.name for path in (DOCS / "images").iterdir()]
    assert len(pictures) >= 4
    assert [name for name in pictures if f"images/{name}" not in texts] == []
