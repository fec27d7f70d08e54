"""The page of many nights: what it adds up, what it shows, and where it is written."""

import re
import tracemalloc
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bulkupdate import write_nights
from bulkupdate.errors import ConfigError, RunDirectoryError
from bulkupdate.journal import Cause, End, past_runs
from bulkupdate.models import Outcome, Reason, State
from bulkupdate.report import nights as nights_module
from bulkupdate.report.nights import Nights
from tests.report.test_report import _Text
from tests.support.commands import bulkupdate
from tests.support.runs import night
from tests.ui.test_ended import part

pytestmark = pytest.mark.slow

PARIS = "Europe/Paris"


def cause(message: str, count: int = 1, **more: Any) -> Cause:
    return Cause(**{
        "outcome": Outcome.FAILED, "type": "not_found", "status": 404, "count": count, "row": 7,
        "id": "opp_7", "message": message, **more,
    })  # fmt: skip


def nights_of(folder: Path, timezone: str | None = None) -> Nights:
    return Nights(past_runs(folder), timezone)


def text_of(folder: Path, **options: Any) -> str:
    return _Text(write_nights(folder, **options).read_text()).text


def two_weeks(folder: Path) -> Path:
    """Fourteen nights over a clock change, each with a mishap of its own."""
    folder.mkdir()
    zone = ZoneInfo(PARIS)
    for number in range(14):
        began = datetime(2026, 10, 18, 2, tzinfo=zone) + timedelta(days=number)
        options: dict[str, Any] = {"counts": {"updated": 4}, "timezone": PARIS}
        if number == 2:
            options["counts"] = {"unchanged": 3}
        if number == 4:
            options |= {
                "counts": {"updated": 1, "unprocessed": 3}, "exit_code": 3, "state": State.STOPPED,
                "stopped_by": Reason.KEY_REFUSED, "reason": "the key was refused",
            }  # fmt: skip
        if number == 6:
            options |= {"resumed": True, "started": "2026-10-24T07:30:00.000Z"}
        if number == 8:
            options |= {"counts": {"updated": 3, "failed": 1}, "exit_code": 1,
                        "problems": [cause("Task opp_7 not found")]}  # fmt: skip
        if number != 10:
            night(folder / f"{began:%F}.run", began.isoformat(), **options)
    night(folder / "late.run", "2026-10-30T23:50:00+01:00", counts={"updated": 1})
    night(folder / "early.run", "2026-10-31T00:10:00+01:00", counts={"invalid": 1}, exit_code=2,
          state=State.STOPPED, reason="1 invalid row: nothing was sent")  # fmt: skip
    return folder


def test_days_of_the_zone_hold_the_runs_that_began_on_them(tmp_path: Path) -> None:
    """23:50 and 00:10 are of two days in the zone of the runs, also across a clock change."""
    nights = nights_of(two_weeks(tmp_path / "runs"))
    (october,) = nights.months()
    days = {day.day: day for week in october.weeks for day in week if day is not None}
    assert (len(days), october.name, october.missed) == (31, "October 2026", 1)
    assert [one.path.name for one in days[date(2026, 10, 30)].nights] == [
        "2026-10-30.run", "late.run",
    ]  # fmt: skip
    assert [one.path.name for one in days[date(2026, 10, 31)].nights] == [
        "early.run", "2026-10-31.run",
    ]  # fmt: skip
    assert days[date(2026, 10, 31)].worst is End.REFUSED
    assert days[date(2026, 10, 28)].worst is None
    assert days[date(2026, 10, 25)].worst is End.DONE


def test_page_tells_each_night_and_what_failed(tmp_path: Path) -> None:
    """The page shows every run with its end, and why some did not end well."""
    text = text_of(two_weeks(tmp_path / "runs"))
    for expected in (
        "times are in Europe/Paris",
        "The newest run, 2026-10-31 02:00: done.",
        "12 of 15 runs went through or had nothing to do.",
        "15 runs 11 done 1 with nothing to do 3 to look at",
        "October 2026 15 runs: 1 nothing to do, 11 done, 1 did not go through, 1 refused, 1 stopped"
        "; 1 day without a run",
        "2026-10-24 02:00 resumed 2026-10-24 09:30 ✓ done 4 updated 4 2026-10-24.run",
        "2026-10-20 02:00 ○ nothing to do 3 unchanged 0 2026-10-20.run",
        "2026-10-30 23:50 ✓ done 1 updated 1 late.run",
        "2026-10-31 00:10 ✕ refused: 1 invalid row: nothing was sent 1 invalid 0 early.run",
        "1 ✕ stopped the key was refused 2026-10-22 02:00",
        "1 failed 404 not_found Task opp_7 not found in 1 run, for example 2026-10-26 02:00",
    ):
        assert expected in text, expected


def test_night_with_nothing_to_do_is_a_success(tmp_path: Path) -> None:
    """Runs that had nothing to do are shown as such, and as good ones."""
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z")
    night(tmp_path / "b.run", "2026-11-25T02:00:00Z", counts={"unchanged": 2})
    html = write_nights(tmp_path).read_text()
    assert '<section class="verdict good"' in html
    text = _Text(html).text
    assert "The newest run, 2026-11-25 02:00: nothing to do." in text
    assert "All 2 runs went through or had nothing to do." in text


def test_people_are_added_up_over_the_nights(tmp_path: Path) -> None:
    """Who got and gave tasks is added up by id, with the newest name and the number of runs."""
    people = {"usr_anna": "anna@acme.example"}
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z", owners={"usr_anna": 3}, givers={"usr_ben": 2},
          people=people)  # fmt: skip
    night(tmp_path / "b.run", "2026-11-25T02:00:00Z", owners={"usr_anna": 1, "others": 2},
          givers={"usr_anna": 1})  # fmt: skip
    night(tmp_path / "c.run", "2026-11-26T02:00:00Z", owners=None)
    assert [tuple(one) for one in nights_of(tmp_path).people()] == [
        ("anna@acme.example", 4, 1, 2), ("usr_ben", 0, 2, 1), ("others", 2, 0, 1),
    ]  # fmt: skip
    assert "Person Got Gave Runs anna@acme.example 4 1 2" in text_of(tmp_path)


def test_rules_are_added_up_over_the_nights(tmp_path: Path) -> None:
    """The rows of each rule are added up by outcome."""
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z", rules={"Spread": {"updated": 2}})
    night(tmp_path / "b.run", "2026-11-25T02:00:00Z", rules={"Spread": {"updated": 1, "failed": 1}})
    assert nights_of(tmp_path).rules == {"Spread": {"updated": 3, "failed": 1}}
    assert "By rule Rule updated failed Spread 3 1" in text_of(tmp_path)


def test_rules_with_the_most_rows_come_first(tmp_path: Path) -> None:
    """As people and causes do. What is counted together comes last."""
    rules = {"Few rows": {"updated": 1}, "others": {"updated": 9}, "Most rows": {"failed": 2}}
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z", counts={"updated": 12}, rules=rules)
    assert [*nights_of(tmp_path).by_rule()] == ["Most rows", "Few rows", "others"]
    assert "Most rows 0 2 Few rows 1 0 others 9 0" in text_of(tmp_path)


def test_like_causes_of_several_nights_are_one(tmp_path: Path) -> None:
    """Causes that differ by a task or a number are one; conflicts are told apart by their field."""
    conflict: dict[str, Any] = {
        "outcome": Outcome.CONFLICT,
        "type": "changed_since",
        "status": None,
    }
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z", problems=[
        cause("Task opp_1 not found", 2, id="opp_1"), cause("title is 'A'", **conflict),
    ])  # fmt: skip
    night(tmp_path / "b.run", "2026-11-25T02:00:00Z", problems=[
        cause("Task opp_2 not found", 3, id="opp_2"), cause("title is 'B'", **conflict),
        cause("dueDate is 'B'", **conflict), cause("Task opp_9 not found", id="opp_9"),
    ])  # fmt: skip
    found = [(one.cause.type, one.cause.count, one.nights) for one in nights_of(tmp_path).causes]
    assert found == [("not_found", 6, 2), ("changed_since", 2, 2), ("changed_since", 1, 1)]


def test_what_is_counted_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People, rules, causes and reasons beyond a bound are counted together."""
    monkeypatch.setattr(nights_module, "MAX_COUNTED", 2)
    stopped: dict[str, Any] = {"exit_code": 3, "state": State.STOPPED, "counts": {"unprocessed": 1}}
    for n in range(4):
        night(
            tmp_path / f"{n}.run", f"2026-11-2{n}T02:00:00Z", owners={f"usr_{n}": 1},
            rules={f"rule {n}": {"updated": 1}}, reason=f"reason {'abcd'[n]}",
            problems=[cause(f"no {'abcd'[n]}")], **stopped,
        )  # fmt: skip
    nights = nights_of(tmp_path)
    assert {one.name: one.got for one in nights.people()} == {"usr_0": 1, "usr_1": 1, "others": 2}
    assert nights.rules == {
        "rule 0": {"updated": 1}, "rule 1": {"updated": 1}, "others": {"updated": 2},
    }  # fmt: skip
    assert [one.cause.count for one in nights.causes] == [2, 1, 1]
    assert [(why, len(some)) for _, why, some in nights.stopped()] == [
        ("reason d", 1), ("reason c", 1), ("", 2),
    ]  # fmt: skip


def test_four_hundred_nights_are_read_month_by_month(tmp_path: Path) -> None:
    """A month is open, all others are closed with a line about each; memory stays small."""
    began = datetime(2025, 10, 1, 2, tzinfo=ZoneInfo(PARIS))
    crowd = {f"usr_{n}": 1 for n in range(900)}
    for n in range(400):
        night(tmp_path / f"{n}.run", (began + timedelta(days=n)).isoformat(), owners=crowd,
              people={one: f"{one}@acme.example" for one in crowd})  # fmt: skip
    tracemalloc.start()
    nights_of(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000
    html = write_nights(tmp_path).read_text()
    assert (html.count("<details"), html.count("<details open")) == (14, 1)
    assert len(html) < 800_000
    assert "November 2025 30 runs: 30 nothing to do" in _Text(html).text


def test_newest_nights_are_shown_and_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a bound, older runs have no line, and count in the sums."""
    monkeypatch.setattr(nights_module, "MAX_NIGHTS", 2)
    monkeypatch.setattr("bulkupdate.report.nightspage.MAX_NIGHTS", 2)
    for n in range(1, 5):
        night(tmp_path / f"{n}.run", f"2026-11-0{n}T02:00:00Z", exit_code=1, counts={"failed": 1},
              problems=[cause("x" if n < 3 else "y")])  # fmt: skip
    html = write_nights(tmp_path).read_text()
    text = _Text(html).text
    assert (
        "The newest 2 runs are shown. 2 older runs count in all other parts of this page." in text
    )
    assert "4 runs 0 done" in text
    anchors = set(re.findall(r'id="(run-\d+)"', html))
    assert anchors == {"run-3", "run-4"}
    assert set(re.findall(r'href="#(run-\d+)"', html)) <= anchors


def test_night_is_linked_to_its_report(tmp_path: Path) -> None:
    """A run with a report is linked to it, from where the page is; one without has no link."""
    odd = "a%20b #1?.run"
    (tmp_path / "runs").mkdir()
    night(tmp_path / "runs" / odd, "2026-11-24T02:00:00Z")
    (tmp_path / "runs" / odd / "report.html").write_text("<!doctype html>")
    night(tmp_path / "runs" / "b.run", "2026-11-25T02:00:00Z")
    page = _Text(write_nights(tmp_path / "runs").read_text())
    assert [link for link in page.links if link[0] != "#"] == [
        "./a%2520b%20%231%3F.run/report.html"
    ]
    (tmp_path / "pages").mkdir()
    other = write_nights(tmp_path / "runs", tmp_path / "pages" / "n.html").read_text()
    assert 'href="./../runs/a%2520b%20%231%3F.run/report.html"' in other


def test_hostile_texts_are_shown_as_texts(tmp_path: Path) -> None:
    """Names, reasons and messages with markup or control characters are shown, and do nothing."""
    evil = "</details><img src=x onerror=alert(1)>\u202e"
    night(
        tmp_path / "<b>.run", "2026-11-24T02:00:00Z", exit_code=3, state=State.STOPPED, reason=evil,
        counts={"failed": 1, "unprocessed": 1}, problems=[cause(evil)], rules={evil: {"failed": 1}},
        owners={"usr_x": 1}, people={"usr_x": evil}, timezone="<i>",
    )  # fmt: skip
    (tmp_path / "<u>").mkdir()
    html = write_nights(tmp_path).read_text()
    page = _Text(html)
    assert not {"img", "i", "u"} & set(page.tags)
    assert page.tags.count("b") == 1  # the name of the month
    assert "\u202e" not in html
    assert page.text.count("<img src=x onerror=alert(1)>\\u202e") >= 4
    assert "no run is in" in page.text
    assert "script" not in page.tags
    assert "default-src 'none'" in html


def test_damaged_and_foreign_directories_are_named(tmp_path: Path) -> None:
    """What can't be read is named in the page, and the rest is shown."""
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z")
    night(tmp_path / "cut.run", "2026-11-24T02:00:00Z")
    (tmp_path / "cut.run" / "summary.json").write_text("{")
    (tmp_path / "other").mkdir()
    text = text_of(tmp_path)
    assert "Not read" in text
    assert "cut.run summary.json is damaged" in text
    assert "The one run went through or had nothing to do." in text
    assert " 1 runs " not in text


def test_page_replaces_its_earlier_self_alone(tmp_path: Path) -> None:
    """The page in the folder is replaced; a file of another kind, or a link, never is."""
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z")
    path = write_nights(tmp_path)
    assert path == tmp_path / "nights.html"
    assert path.stat().st_mode & 0o777 == 0o600
    assert write_nights(tmp_path) == path
    path.write_text("my own notes")
    with pytest.raises(ConfigError, match=r"nights\.html is no page of many runs"):
        write_nights(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is no page of many runs"):
        write_nights(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_page_replaces_no_file_of_a_run_and_no_input(tmp_path: Path) -> None:
    """An output that is a file of a run, or the input of one, is refused."""
    rules = tmp_path / "rules.toml"
    rules.write_text("x")
    run = night(tmp_path / "a.run", "2026-11-24T02:00:00Z", path=str(rules))
    for output in (run / "summary.json", run / "report.html", rules):
        with pytest.raises(ConfigError):
            write_nights(tmp_path, output)
    assert rules.read_text() == "x"


def test_page_of_some_runs_lies_in_the_folder_that_holds_them(tmp_path: Path) -> None:
    """Several run directories make a page beside them; of several folders, above them."""
    for folder, name in (("one", "a.run"), ("one", "b.run"), ("two", "c.run")):
        (tmp_path / folder).mkdir(exist_ok=True)
        night(tmp_path / folder / name, "2026-11-24T02:00:00Z")
    one = [tmp_path / "one" / "a.run", tmp_path / "one" / "b.run"]
    assert write_nights(one) == tmp_path / "one" / "nights.html"
    assert write_nights([tmp_path / "one", tmp_path / "two"]) == tmp_path / "nights.html"


def test_wrong_zone_and_empty_folder_are_refused(tmp_path: Path) -> None:
    """There is no page without a run, or in an unknown time zone."""
    with pytest.raises(RunDirectoryError, match="no run to show"):
        write_nights(tmp_path)
    night(tmp_path / "a.run", "2026-11-24T02:00:00Z")
    with pytest.raises(ConfigError, match="not a time zone"):
        write_nights(tmp_path, timezone="Europe/Nowhere")
    assert "times are in Asia/Tokyo" in text_of(tmp_path, timezone="Asia/Tokyo")


def test_command_makes_the_page_of_a_folder() -> None:
    """`report` of a folder, or of several runs, writes one page; of one run, its report."""
    Path("runs").mkdir()
    for n in (1, 2):
        night(Path(f"runs/{n}.run"), f"2026-11-0{n}T02:00:00Z")
    done = bulkupdate("report", "runs", "--json", "--timezone", PARIS)
    assert (done.returncode, done.stdout) == (0, '{"report":"runs/nights.html"}\n')
    done = bulkupdate("report", "runs/1.run", "runs/2.run", "-o", "some.html")
    assert (done.returncode, done.stderr) == (0, "report: some.html\n")
    assert "All 2 runs" in _Text(Path("some.html").read_text()).text
    assert bulkupdate("report", "runs/1.run", "--timezone", PARIS).returncode == 2
    Path("runs/nights.html").write_text("mine")
    assert bulkupdate("report", "runs").returncode == 2


def test_night_with_accounts_names_those_that_stopped(tmp_path: Path) -> None:
    """Its line has their number, and the names of the first ones that stopped."""
    folder = tmp_path / "runs"
    folder.mkdir()
    night(folder / "a.run", "2026-11-24T02:00:00Z", counts={"updated": 1})
    accounts = {f"c-{n}": part(1) for n in range(40)}
    accounts |= {f"<b>{n}": part(0, 1, "the key is refused") for n in range(7)}
    night(folder / "b.run", "2026-11-25T02:00:00Z", counts={"updated": 40, "unprocessed": 7},
          accounts=accounts, exit_code=3, state=State.STOPPED)  # fmt: skip
    text = text_of(folder)
    assert (
        "40 updated, 7 unprocessed 47 accounts; stopped: <b>0, <b>1, <b>2, <b>3, <b>4 and 2 more"
        in text
    )
    assert text.count("accounts; ") == 1
