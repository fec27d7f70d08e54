"""The accounts of a run, in its report."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from bulkupdate import write_report
from bulkupdate.codec import replaced
from bulkupdate.journal import Image
from bulkupdate.models import ErrorInfo, Outcome, Reason, Result, State
from bulkupdate.sandbox import Unknown
from tests.report.test_report import _Text, at, sample
from tests.support.browser import browser, visit
from tests.support.many import NAMES, ManyBench, edits_of
from tests.support.runs import run_directory
from tests.ui.test_ended import part

pytestmark = pytest.mark.slow

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def result(row: int, account: str, outcome: Outcome = Outcome.UPDATED, **more: Any) -> Result:
    """A row of an account that was sent."""
    error = ErrorInfo("bad_request", "Bad team") if outcome is Outcome.FAILED else None
    return Result(
        row=row, id=more.pop("id", f"opp_{row}"), account=account, outcome=outcome, status=200,
        attempts=1, at=at(row / 10), ms=50.0, error=error, sent=more.pop("sent", {"title": "x"}),
        **more,
    )  # fmt: skip


def many(directory: Path, accounts: int = 500) -> Path:
    """A run with many accounts of four rows: some stopped, some with failures."""
    parts, results = {}, []
    for n in range(accounts):
        name = f"client-{n:03}"
        is_stopped, fails = n % 50 == 49, n % 7 == 3
        done = 2 if is_stopped else 4
        results += [
            result(4 * n + k, name, Outcome.FAILED if fails and k == 1 else Outcome.UPDATED)
            for k in range(1, done + 1)
        ]
        reason = "the key is refused: unauthorized: 401 Unauthorized" if is_stopped else None
        parts[name] = replaced(
            part(done, 4 - done, reason), requests=done, used_rate=9.87, allowed_rate=10.0
        )
    return run_directory(
        directory, results, [sample(200, seconds=200.0)], rows=4 * accounts, accounts=parts,
        exit_code=3, state=State.STOPPED, stopped_by=Reason.ACCOUNTS_STOPPED,
        reason="10 accounts of 500 stopped: client-049: the key is refused; …",
    )  # fmt: skip


def rows_of(html: str) -> list[list[str]]:
    """The cells of the accounts, those that are shown at once and those that are folded."""
    section = html[html.index('id="account-section"') :].partition("</section>")[0]
    return [
        re.findall(r"<t[hd][^>]*>([^<]*)<", line)
        for line in re.findall(r"<tr><th scope=\"row\">.*?</tr>", section)
    ]


async def test_report_of_a_run_shows_each_account(write: Write) -> None:
    """The one that stopped comes first, with its reason; then those with failures."""
    async with ManyBench(unknown=Unknown.NOT_FOUND) as bench:
        for name in ("acme", "initech"):
            for n in range(1, 4 if name == "acme" else 3):
                bench.account(name).team.add(f"opp_{n}", "manual")
        bench.account("globex").refused = True
        await bench.run(write("edits.csv", "account,id,title", *edits_of(NAMES, 3)))
    html = write_report("edits.run").read_text()
    text = _Text(html).text
    assert "3 accounts: 2 finished, 1 stopped." in text
    globex, initech, acme = rows_of(html)
    assert globex[0] == "globex"
    assert globex[1].startswith("stopped: the key is refused: ")
    assert "Account State Rows updated failed not tried Requests 429s Requests/s" in text
    assert globex[2:6] == ["3", "0", "0", "3"]
    assert initech[:7] == ["initech", "finished", "3", "2", "1", "0", "3"]
    assert acme[:6] == ["acme", "finished", "3", "3", "0", "0"]
    # The row that failed is told by its account.
    assert re.search(r'id="data">\[\[9,"initech","opp_3","failed",', html)
    assert '<input type="search" id="account-search"' not in html


def test_counts_of_a_killed_run_are_those_of_its_log(tmp_path: Path) -> None:
    """Its summary is from the beginning of the session."""
    directory = run_directory(
        tmp_path / "a.run", [result(n, "acme") for n in (1, 2)], rows=3, exit_code=None,
        state=State.RUNNING, accounts={"acme": part(0, 2), "globex": part(0, 1)},
    )  # fmt: skip
    html = write_report(directory).read_text()
    assert "2 accounts: 1 finished, 1 with rows left." in _Text(html).text
    found = rows_of(html)
    assert [row[:5] for row in found] == [
        ["acme", "finished", "2", "2", "0"], ["globex", "rows left", "1", "0", "1"],
    ]  # fmt: skip


def test_many_accounts_are_sorted_and_folded(tmp_path: Path) -> None:
    """What stopped comes first, then what failed; 50 are shown, and the rest can be unfolded."""
    html = write_report(many(tmp_path / "a.run")).read_text()
    rows = rows_of(html)
    kinds = ["stopped" if row[1].startswith("stopped") else row[4] for row in rows]
    assert kinds == ["stopped"] * 10 + ["1"] * 70 + ["0"] * 420
    failing = [row[0] for row in rows[10:80]]
    assert failing == sorted(failing)
    before, _, folded = html.partition('<details id="account-rest">')
    assert len(rows_of(before + "</section>")) == 50
    assert "450 more accounts" in folded
    assert len(html) < 1_000_000


def test_reports_without_accounts_have_no_such_section(tmp_path: Path) -> None:
    """Nor has any table a column for them."""
    html = write_report(run_directory(tmp_path / "a.run", [result(1, "")])).read_text()
    assert 'id="account-section"' not in html
    assert ">Account<" not in html
    assert b"account" not in (tmp_path / "a.run" / "changes.csv").read_bytes()


def test_several_servers_are_named_as_such(tmp_path: Path) -> None:
    """Accounts may have a URL each: the summary then has none."""
    directory = run_directory(
        tmp_path / "a.run", [result(1, "acme")], base_url="", accounts={"acme": part(1)}
    )
    text = _Text(write_report(directory).read_text()).text
    assert "edits.csv → several servers" in text
    assert "Sent to several servers" in text


def test_changes_of_one_id_in_two_accounts_are_two_tasks(tmp_path: Path) -> None:
    """Each has its own value before; the table beside the report names the account."""
    results = [
        result(1, "acme", id="opp_1", sent={"title": "A"}),
        result(2, "globex", id="opp_1", sent={"title": "B"}),
        result(3, "acme", id="opp_1", sent={"title": "C"}),
    ]
    images = [
        Image(row=n, id="opp_1", account=name, at=at(n / 10 - 0.05), before={"title": was},
              sent={"title": "x"})
        for n, name, was in ((1, "acme", "one"), (2, "globex", "two"))
    ]  # fmt: skip
    directory = run_directory(
        tmp_path / "a.run", results, images=images, compared=True,
        accounts={"acme": part(2), "=cmd": part(0), "globex": part(1)},
    )  # fmt: skip
    html = write_report(directory).read_text()
    text = (directory / "changes.csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert text.startswith("row,id,title,field,before,after,at,timezone,account\r\n")
    assert [(row["account"], row["row"], row["before"], row["after"]) for row in rows] == [
        ("acme", "3", "one", "C"), ("globex", "2", "two", "B"),
    ]  # fmt: skip
    assert re.search(r'id="change-data">\[\[3,"acme","opp_1",', html)
    # The file is known again when the report is written once more.
    write_report(directory, tmp_path / "b.html")
    write_report(directory, tmp_path / "b.html")


# --- in a browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with 500 accounts."""
    return write_report(many(tmp_path_factory.mktemp("report") / "a.run"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_table_of_accounts_is_accessible(
    chromium: Browser, report: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    """In both themes, folded and unfolded, it has no violation and fits the window."""
    with visit(chromium, report, scheme=scheme, width=width) as opened:
        opened.page.locator("#account-rest summary").click()
        found = Axe().run(opened.page)
        assert found.violations_count == 0, found.generate_report()
        assert opened.errors == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width


def test_printed_report_has_all_accounts(chromium: Browser, report: Path) -> None:
    """Also those that are folded on a screen."""
    with visit(chromium, report) as opened:
        rows = opened.page.locator("#account-rest tbody tr")
        assert not rows.last.is_visible()
        opened.page.emulate_media(media="print")
        assert rows.last.is_visible()


def test_accounts_are_found_by_words(chromium: Browser, report: Path) -> None:
    """A search shows what matches, also of the folded ones, and folds them again when cleared."""
    with visit(chromium, report) as opened:
        page = opened.page
        rows = page.locator("#account-section tbody tr:visible")
        status = page.locator("#account-found")
        assert (rows.count(), status.inner_text()) == (50, "500 accounts")
        page.get_by_label("Search accounts").fill("CLIENT-49 finished")
        assert status.inner_text() == "9 of 500 accounts"
        assert rows.count() == 9
        page.get_by_label("Search accounts").fill("stopped")
        assert (rows.count(), status.inner_text()) == (10, "10 of 500 accounts")
        assert not page.locator("#account-rest").is_visible()
        page.get_by_label("Search accounts").fill("")
        assert (rows.count(), status.inner_text()) == (50, "500 accounts")


def test_rows_are_filtered_by_outcome_with_accounts_too(chromium: Browser, report: Path) -> None:
    """The column of the outcome is another one; the search finds an account."""
    with visit(chromium, report) as opened:
        page = opened.page
        page.locator("select#outcome").select_option("failed")
        cells = page.locator("#table tbody td:nth-child(4)").all_inner_texts()
        assert set(cells) == {"failed"}
        assert page.locator("#table td.failed").count() == len(cells)
        page.get_by_label("Search", exact=True).fill("client-003")
        page.get_by_text("1 of 71 rows", exact=True).wait_for()
        assert page.locator("#table tbody td:nth-child(2)").all_inner_texts() == ["client-003"]
