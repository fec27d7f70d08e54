"""What a run has changed, in its report and beside it."""

import csv
import io
import json
import os
import re
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from bulkupdate import write_report
from bulkupdate.errors import ConfigError, JournalError
from bulkupdate.journal import Image, RunFiles, count_changes, read_summary
from bulkupdate.models import ErrorInfo, Outcome, Result
from bulkupdate.report import changes as module
from bulkupdate.report.changes import Changes, ChangesTable, changed_tasks
from bulkupdate.sandbox.members import Member
from tests.report.test_report import _Text, at, failed, sample, text_of
from tests.session.test_compare import bench_of, compared
from tests.support.browser import browser, visit
from tests.support.runs import run_directory

PEOPLE = {"usr_anna": "anna@acme.example", "usr_ben": "ben@acme.example"}
DUE, LATER = "2026-11-02T08:00:00.000Z", "2026-07-01T06:30:15.000Z"


def updated(row: int, sent: dict[str, Any], **more: Any) -> Result:
    """A row that was updated, of the task `opp_` and its number unless told otherwise."""
    id_ = more.pop("id", f"opp_{row}")
    task = {"_id": id_, "title": sent.get("title", f"Call {row}"), **more.pop("task", {})}
    outcome = more.pop("outcome", Outcome.UPDATED)
    return Result(
        row=row, id=id_, outcome=outcome, status=200, attempts=1, at=more.pop("at", at(row)),
        ms=50.0, sent=sent, task=task, **more,
    )  # fmt: skip


def image(
    row: int, before: dict[str, Any] | None, sent: dict[str, Any], id_: str | None = None
) -> Image:
    """What the request of a row overwrites, half a second before its outcome."""
    return Image(row=row, id=id_ or f"opp_{row}", at=at(row - 0.5), before=before, sent=sent)


def table_of(directory: Path) -> tuple[list[dict[str, str]], Changes]:
    """The table of a run directory, and what it adds up to."""
    table = ChangesTable(read_summary(directory))
    header, *rows = table.rows(changed_tasks(RunFiles(directory)))
    return [dict(zip(header, row, strict=True)) for row in rows], table.changes()


def written_table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"))))


def test_values_are_shown_before_and_after(tmp_path: Path) -> None:
    """Each changed field has a row: people by name, times in the zone of the run, plain words."""
    sent = {"assignedTo": "usr_ben", "dueDate": LATER, "priority": "2", "message": "Hi"}
    before = {"assignedTo": "usr_anna", "dueDate": DUE, "priority": None}
    rows, changes = table_of(
        run_directory(
            tmp_path / "a.run",
            [updated(1, sent)],
            images=[image(1, before, sent)],
            people=PEOPLE,
            timezone="Europe/Paris",
            compared=True,
        )
    )
    assert [(row["field"], row["before"], row["after"]) for row in rows] == [
        ("assignedTo", "anna@acme.example", "ben@acme.example"),
        ("dueDate", "2026-11-02 09:00:00", "2026-07-01 08:30:15"),
        ("message", "not known", "Hi"),
        ("priority", "", "high"),
    ]
    assert {(row["row"], row["id"], row["title"]) for row in rows} == {("1", "opp_1", "Call 1")}
    assert {(row["at"], row["timezone"]) for row in rows} == {
        ("2026-11-24 15:00:01", "Europe/Paris")
    }
    assert changes.timezone == "Europe/Paris"
    assert [line[3:6] for line in changes.lines][1:] == [
        ("dueDate", "Mon 02 Nov 2026 09:00", "Wed 01 Jul 2026 08:30"),
        ("message", "not known", "Hi"),
        ("priority", "nothing", "high"),
    ]


@pytest.mark.parametrize("timezone", [None, "Nowhere/Land"])
def test_times_without_a_known_zone_are_in_utc(tmp_path: Path, timezone: str | None) -> None:
    """Without an option, or where its zone is not known here, times are in UTC, by name."""
    directory = run_directory(tmp_path / "a.run", [updated(1, {"dueDate": DUE})], timezone=timezone)
    [row], changes = table_of(directory)
    assert (row["after"], row["timezone"]) == ("2026-11-02 08:00:00", "UTC")
    assert changes.timezone == "UTC"


def test_rows_of_a_task_are_one_change(tmp_path: Path) -> None:
    """A task with several rows is shown from its first value to its last, with the row of that."""
    sent: list[dict[str, Any]] = [
        {"title": "A"},
        {"title": "B", "done": True},
        {"priority": "0"},
    ]
    results = [updated(row, one, id="opp_1") for row, one in enumerate(sent[:2], 1)]
    results.append(updated(3, sent[2], id="opp_1", task={"title": None}))
    # Another task comes between them.
    results.insert(1, updated(9, {"title": "Z"}, at=at(1.5)))
    images = [image(1, {"title": "T"}, sent[0], "opp_1")]
    rows, changes = table_of(run_directory(tmp_path / "a.run", results, images=images, rows=9))
    shown = [(row["row"], row["id"], row["field"], row["before"], row["after"]) for row in rows]
    assert shown == [
        ("2", "opp_1", "title", "T", "B"),
        ("3", "opp_1", "priority", "not known", "low"),
        ("2", "opp_1", "done", "not known", "done"),
        ("9", "opp_9", "title", "not known", "Z"),
    ]
    assert [row["title"] for row in rows] == ["B", "B", "B", "Z"]
    assert (changes.tasks, changes.total) == (2, 4)
    assert changes.fields == {"title": 2, "priority": 1, "done": 1}


def test_value_in_the_answer_is_shown(tmp_path: Path) -> None:
    """Where the server has returned another value than was sent, that one is shown."""
    sent = {"title": "A", "message": "B"}
    result = updated(1, sent, task={"title": "A, shortened", "content": ""})
    rows, _ = table_of(run_directory(tmp_path / "a.run", [result]))
    assert [row["after"] for row in rows] == ["A, shortened", "B"]


def test_tasks_in_doubt_are_counted_apart(tmp_path: Path) -> None:
    """A request without a confirmed outcome may have changed its task; one that failed has not."""
    error = ErrorInfo("timeout", "no answer")
    sent = {"title": "A"}
    results = [
        updated(1, sent, outcome=Outcome.UNCONFIRMED, error=error),
        updated(2, sent, outcome=Outcome.FAILED, error=error),
        updated(3, sent),
    ]
    images = [image(row, {"title": "T"}, sent) for row in (1, 2, 3, 4)]
    rows, changes = table_of(run_directory(tmp_path / "a.run", results, images=images))
    assert [row["id"] for row in rows] == ["opp_3"]
    assert (changes.tasks, changes.in_doubt) == (1, 2)


def test_owners_are_counted_by_whom_they_got_tasks_from(tmp_path: Path) -> None:
    """Each new owner has a number of tasks, and the numbers from each earlier owner."""
    moves = [("usr_ben", "usr_anna")] * 3 + [("usr_carl", "usr_ben")] * 2
    moves += [("usr_anna", "usr_ben"), ("usr_anna", "usr_anna"), ("usr_zoe", "usr_ben")]
    results = [updated(row, {"assignedTo": new}) for row, (_, new) in enumerate(moves, 1)]
    results.append(updated(9, {"assignedTo": "usr_ben"}))
    images = [
        image(row, {"assignedTo": old}, {"assignedTo": new})
        for row, (old, new) in enumerate(moves, 1)
    ]
    _, changes = table_of(run_directory(tmp_path / "a.run", results, images=images, people=PEOPLE))
    assert changes.owners == [
        (
            "ben@acme.example",
            5,
            [("usr_carl", 2), ("anna@acme.example", 1), ("usr_zoe", 1), ("not known", 1)],
        ),
        ("anna@acme.example", 3, [("ben@acme.example", 3)]),
    ]


def test_pairs_of_owners_beyond_a_bound_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many pairs of owners, all others are counted as one."""
    monkeypatch.setattr(module, "MAX_MOVES", 2)
    results = [updated(row, {"assignedTo": f"usr_{row}"}) for row in range(1, 6)]
    _, changes = table_of(run_directory(tmp_path / "a.run", results))
    assert [(owner.name, owner.tasks) for owner in changes.owners] == [
        ("others", 3),
        ("usr_1", 1),
        ("usr_2", 1),
    ]


def test_cells_are_safe_in_a_spreadsheet(tmp_path: Path) -> None:
    """No cell of the file runs as a formula, and Excel reads the file as UTF-8."""
    evil = '=HYPERLINK("http://x")'
    sent = {"title": evil, "message": "+1\n@x, “quoted”"}
    directory = run_directory(
        tmp_path / "a.run",
        [updated(1, sent, id="@opp", task={"title": evil})],
        images=[image(1, {"title": "-1+2", "message": "=1"}, sent, "@opp")],
        compared=True,
    )
    write_report(directory)
    path = directory / "changes.csv"
    assert path.read_bytes().startswith(b"\xef\xbb\xbfrow,id,")
    title, message = written_table(path)
    assert (title["id"], title["title"]) == ("'@opp", f"'{evil}")
    assert (title["before"], title["after"]) == ("'-1+2", f"'{evil}")
    assert (message["before"], message["after"]) == ("'=1", "'+1\n@x, “quoted”")


def test_full_disk_is_an_error_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the changes can't be sorted on disk, the error says so."""

    def fail(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("bulkupdate.report.changes.sqlite3.connect", fail)
    directory = run_directory(tmp_path / "a.run", [updated(1, {"title": "A"})])
    with pytest.raises(JournalError, match="can't be sorted: database or disk is full"):
        table_of(directory)


@pytest.mark.slow
async def test_report_of_a_real_run_tells_who_got_what(write: Callable[..., Path]) -> None:
    """The report of a compared run shows fields, owners by name, and each task, as its summary."""
    path = write(
        "edits.csv", "id,title,assignedTo", "opp_1,New,ben@acme.example", "opp_2,T2,usr_ben",
        "opp_3,T3,usr_anna",
    )  # fmt: skip
    async with bench_of() as bench:
        bench.sandbox.team.users["usr_9"] = Member("usr_9", "Nobody", "Else", "no@acme.example")
        summary = await compared(bench, path)
    text = text_of(Path("edits.run"))
    assert "What was changed assignedTo 2 tasks title 1 task" in text
    assert "New owner Tasks From ben@acme.example 2 anna@acme.example 2" in text
    assert "Times are in UTC. All changes are in changes.csv , beside this report." in text
    assert "Only the new values are known" not in text
    assert "no@acme.example" not in text
    rows = written_table(Path("edits.run/changes.csv"))
    assert [(row["id"], row["field"], row["before"], row["after"]) for row in rows] == [
        ("opp_1", "assignedTo", "anna@acme.example", "ben@acme.example"),
        ("opp_1", "title", "T1", "New"),
        ("opp_2", "assignedTo", "anna@acme.example", "ben@acme.example"),
    ]
    assert summary.changed == {"assignedTo": 2, "title": 1}


@pytest.mark.slow
async def test_report_without_compare_shows_new_values(write: Callable[..., Path]) -> None:
    """A run that did not compare knows only the new values, and its report says why."""
    path = write("edits.csv", "id,assignedTo", "opp_1,usr_ben")
    async with bench_of() as bench:
        await bench.run(path)
    html = write_report(Path("edits.run")).read_text()
    text = _Text(html).text
    assert "Only the new values are known. This run did not compare its rows with the tasks" in text
    assert "Who got tasks New owner Tasks usr_ben 1" in text
    assert "Row Task Title Field New value When" in text
    assert [cells[:5] for cells in page_rows(html)] == [[1, "opp_1", "T1", "assignedTo", "usr_ben"]]


def page_rows(html: str) -> Any:
    """The rows of the table of changes in a page."""
    found = re.search(r'<script type="application/json" id="change-data">(.*?)</script>', html)
    assert found
    return json.loads(found[1])


@pytest.mark.slow
def test_run_that_changed_nothing_has_no_section(tmp_path: Path) -> None:
    """Without a change there is no section, and the file has its header alone."""
    directory = run_directory(tmp_path / "a.run", [failed(1, 1)])
    assert "What was changed" not in text_of(directory)
    assert written_table(directory / "changes.csv") == []
    in_doubt = updated(1, {"title": "A"}, outcome=Outcome.UNCONFIRMED, error=ErrorInfo("t", "m"))
    text = text_of(run_directory(tmp_path / "b.run", [in_doubt]))
    assert "1 task may have been changed too: no answer has confirmed it." in text
    assert "Task by task" not in text


@pytest.mark.slow
def test_file_beside_another_report_replaces_no_other_file(tmp_path: Path) -> None:
    """The file has the name of its report. What is there and is no such file stays."""
    Path("edits.csv").write_text("id,title\nopp_1,A\n")
    directory = run_directory(tmp_path / "a.run", [updated(1, {"title": "A"})])
    for name, beside in (
        ("edits.html", "edits.changes.csv"),
        ("v1.2", "v1.2.changes.csv"),
        ("edits.html", "edits.changes.csv"),
    ):
        write_report(directory, tmp_path / name)
        assert len(written_table(tmp_path / beside)) == 1
        assert (tmp_path / beside).stat().st_mode & 0o777 == 0o600
        assert beside in (tmp_path / name).read_text()
    assert Path("edits.csv").read_text() == "id,title\nopp_1,A\n"
    mine = tmp_path / "mine.changes.csv"
    mine.write_text("id,title\n")
    with pytest.raises(ConfigError, match=r"mine\.changes\.csv is there"):
        write_report(directory, tmp_path / "mine.html")
    assert mine.read_text() == "id,title\n"
    assert not (tmp_path / "mine.html").exists()


@pytest.mark.slow
def test_input_that_is_such_a_file_is_not_replaced(tmp_path: Path) -> None:
    """The run's input stays, though it is a file of changes itself."""
    first = run_directory(tmp_path / "a.run", [updated(1, {"title": "A"})])
    write_report(first, tmp_path / "a.html")
    table = tmp_path / "a.changes.csv"
    second = run_directory(tmp_path / "b.run", [updated(1, {"title": "B"})], path=str(table))
    before = table.read_bytes()
    with pytest.raises(ConfigError, match=r"a\.changes\.csv is there"):
        write_report(second, tmp_path / "a.html")
    assert table.read_bytes() == before


@pytest.mark.slow
def test_file_and_report_are_written_together_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that can't be made leaves the file of the earlier one, with its mode."""
    directory = run_directory(tmp_path / "a.run", [updated(1, {"title": "A"})])
    write_report(directory)
    path = directory / "changes.csv"
    path.write_text("earlier")
    path.chmod(0o640)

    def fail(_: object) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr("bulkupdate.report.page.page", fail)
        with pytest.raises(ZeroDivisionError):
            write_report(directory)
    assert path.read_text() == "earlier"
    write_report(directory)
    assert len(written_table(path)) == 1
    assert path.stat().st_mode & 0o777 == 0o640
    assert {one.name for one in directory.iterdir()} == {
        "results.jsonl", "summary.json", "report.html", "changes.csv",
    }  # fmt: skip
    path.unlink()
    path.mkdir()
    with pytest.raises(JournalError, match=r"changes\.csv can't be written"):
        write_report(directory)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def many(tasks: int) -> tuple[Iterable[Result], Iterable[Image]]:
    """Results and images of a run that gave tasks to other owners, with new titles."""
    owners = ("usr_anna", "usr_ben", "usr_carl")
    sent = [{"assignedTo": owners[n % 3], "title": f"Call {n}"} for n in range(tasks + 1)]
    return (
        (updated(n, sent[n], at=at(n / 10), compared=True) for n in range(1, tasks + 1)),
        (
            Image(
                row=n, id=f"opp_{n}", at=at(n / 10 - 0.05), sent=sent[n],
                before={"assignedTo": owners[(n + 1) % 3], "title": None},
            )
            for n in range(1, tasks + 1)
        ),
    )  # fmt: skip


@pytest.mark.slow
def test_memory_does_not_grow_with_the_tasks(tmp_path: Path) -> None:
    """The changes of 20,000 tasks are sorted and added up within some megabytes."""
    results, images = many(20_000)
    directory = run_directory(tmp_path / "a.run", results, images=images, people=PEOPLE)
    table = ChangesTable(read_summary(directory))
    tracemalloc.start()
    try:
        number = sum(1 for _ in table.rows(changed_tasks(RunFiles(directory))))
        counts = count_changes(RunFiles(directory))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == 1 + 40_000
    assert counts.fields == table.changes().fields == {"assignedTo": 20_000, "title": 20_000}
    assert peak < 12_000_000, peak


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a compared run that changed 300 tasks in two fields, and failed for one."""
    results, images = many(300)
    return write_report(
        run_directory(
            tmp_path_factory.mktemp("report") / "a.run",
            [*results, failed(301, 31)],
            [sample(5 * n, requests=50, rows=50) for n in range(1, 7)],
            images=images,
            people=PEOPLE,
            timezone="Europe/Paris",
            compared=True,
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_changes_are_accessible_and_fit(
    chromium: Browser, report: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    """A report with changes has no accessibility violation, loads nothing and fits the window."""
    with visit(chromium, report, scheme=scheme, width=width) as opened:
        found = Axe().run(opened.page)
        assert found.violations_count == 0, found.generate_report()
        assert opened.requests == [report.resolve().as_uri()]
        assert opened.errors == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.slow
def test_first_changes_are_found_and_sorted(chromium: Browser, report: Path) -> None:
    """The page holds the first 500 changes. Searching and sorting them moves no other table."""
    with visit(chromium, report) as opened:
        page = opened.page
        rows = page.locator("#change-table tbody tr")
        assert "The table holds the first 500 of 600 changes." in page.locator("main").inner_text()
        assert rows.count() == 25
        page.get_by_label("Search changes").fill("anna BEN")
        page.get_by_text(" of 500 rows").wait_for()
        first = rows.first.locator("td").all_inner_texts()
        assert first == [
            "3", "opp_3", "Call 3", "assignedTo", "ben@acme.example", "anna@acme.example",
            "2026-11-24 15:00:00",
        ]  # fmt: skip
        page.get_by_label("Search changes").fill("opp_7 title")
        page.get_by_text("11 of 500 rows").wait_for()
        page.locator("#change-table").get_by_role("button", name="Row").click()
        assert rows.first.locator("td").nth(1).inner_text() == "opp_79"
        assert page.locator("#table tbody tr").count() == 1
        assert page.locator("#found").inner_text() == "1 rows"
    assert len(written_table(report.with_name("changes.csv"))) == 600


@pytest.mark.slow
def test_script_in_a_value_does_nothing(chromium: Browser, tmp_path: Path) -> None:
    """A value, a name or a zone that contains a script is shown as text and runs nothing."""
    evil = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
    sent = {"title": evil, "assignedTo": "usr_1"}
    directory = run_directory(
        tmp_path / "a.run",
        [updated(1, sent, id=evil, task={"title": evil, "userId": "usr_1"})],
        images=[image(1, {"title": evil, "assignedTo": evil}, sent, evil)],
        people={"usr_1": evil},
        compared=True,
    )
    with visit(chromium, write_report(directory)) as opened:
        cells = opened.page.locator("#change-table tbody td").all_inner_texts()
        classes = opened.page.locator("#change-table tbody td").evaluate_all(
            "all => all.map(one => one.className)"
        )
        # They come from the titles of the columns, and not from a value.
        assert set(classes) == {"number", "id", "text", "short", "text short"}
        assert cells[8:13] == [evil, evil, "title", evil, evil]
        assert evil in opened.page.locator(".plain").inner_text()
        assert opened.page.locator("img").count() == 0
        assert (opened.errors, len(opened.requests)) == ([], 1)


@pytest.mark.slow
def test_pipe_gets_the_report_alone(tmp_path: Path) -> None:
    """A report that goes to a pipe has no file beside it, and names none."""
    directory = run_directory(tmp_path / "a.run", [updated(1, {"title": "A"})])
    pipe = tmp_path / "pipe.html"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        write_report(directory, pipe)
    assert "Times are in UTC.</p>" in read.result()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.run", "pipe.html"]
    assert sorted(one.name for one in directory.iterdir()) == ["results.jsonl", "summary.json"]
