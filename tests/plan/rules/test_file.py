"""Tests of reading a file of rules: what it means, and each problem with its line."""

import sys
from datetime import date, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bulkupdate.errors import InputError
from bulkupdate.plan.rules import Rules, read_rules

WRONG = Path(__file__).with_name("wrong.txt")


def wrong_files() -> tuple[str, list[tuple[str, list[str]]]]:
    """The good file; the wrong ones, and what is said of each."""
    good, *blocks = WRONG.read_text().split("\n\n")[1:]
    good = good.removeprefix("good\n") + "\n"
    found = []
    for block in blocks:
        first, *lines = block.rstrip("\n").split("\n")
        said = [line[2:] for line in lines if line.startswith("> ")]
        new = "".join(f"{line}\n" for line in lines if not line.startswith("> "))
        if first != "whole":
            [old] = [line for line in good.splitlines() if line.split()[0] == first]
            new = good.replace(f"{old}\n", new)
        found.append((new, said))
    return good, found


GOOD, FILES = wrong_files()


def test_fifty_wrong_files_are_beside_their_messages() -> None:
    """Each key of the format is wrong in one of them at least."""
    assert len(FILES) >= 50
    assert read_rules("rules.toml", GOOD.encode()).rules[0].name == "Ben is away"


@pytest.mark.parametrize(("text", "said"), FILES)
def test_wrong_file_is_told_with_line_key_and_what_is_accepted(text: str, said: list[str]) -> None:
    """The message holds every problem of the file, in the order of its lines."""
    with pytest.raises(InputError) as refused:
        read_rules("night/rules.toml", text.encode())
    assert str(refused.value).splitlines() == [f"rules.toml, {line}" for line in said]


@pytest.mark.parametrize(
    ("data", "line"),
    [('\n\nname = "Zo\xe9"\n'.encode("latin-1"), 3), (GOOD.encode("utf-16"), 1)],
)
def test_file_in_another_encoding_is_refused(data: bytes, line: int) -> None:
    """TOML is UTF-8."""
    with pytest.raises(InputError) as refused:
        read_rules("rules.toml", data)
    assert str(refused.value) == f"rules.toml, line {line}: is not UTF-8: save the file as UTF-8"


def test_all_problems_are_told_at_once_by_line() -> None:
    """A person fixes a file once, not once for each problem."""
    text = GOOD.replace("select", "selct").replace('"even"', '"evn"').replace("Paris", "Pari")
    with pytest.raises(InputError) as refused:
        read_rules("rules.toml", text.encode())
    assert [line.split(": ")[0] for line in str(refused.value).splitlines()] == [
        "rules.toml, line 1", "rules.toml, line 4", "rules.toml, line 8", "rules.toml, line 10",
    ]  # fmt: skip


def read(text: str) -> Rules:
    return read_rules("rules.toml", text.encode())


def test_good_file_means_what_it_says() -> None:
    """Each key of the file and of its rule has its place in the record."""
    rules = read(GOOD)
    [rule] = rules.rules
    assert (rules.timezone, rules.zone) == ("Europe/Paris", ZoneInfo("Europe/Paris"))
    assert rules.max_changes is not None
    assert rules.max_changes.tasks == 200
    assert date(2026, 7, 14) in rules.holidays
    assert date(2026, 7, 15) not in rules.holidays
    assert (rule.since, rule.until) == (date(2026, 12, 20), date(2027, 1, 4))
    assert [one.text for one in rule.sources] == ["ben@acme.example"]
    assert [one.text for one in rule.set.targets] == ["usr_1", "usr_2"]
    assert rule.set.due is not None
    assert rule.set.due.time_of_day == time(9)
    assert (rule.distribute, rule.limit, rule.irreversible) == ("even", 40, False)


@pytest.mark.parametrize("change", [("", "\ufeff"), ("\n", "\r\n"), ("2026-12-20", '"2026-12-20"')])
def test_file_from_another_editor_means_the_same(change: tuple[str, str]) -> None:
    """A byte order mark, Windows line ends, and days as texts."""
    old, new = change
    text = GOOD.replace(old, new) if old else new + GOOD
    assert read(text).rules[0].since == date(2026, 12, 20)
    assert read(text).rules[0].select == read(GOOD).rules[0].select


def test_same_file_is_written_in_any_form_of_toml() -> None:
    """Tables, dotted keys and lists over several lines are the same as inline tables."""
    head, rule = 'timezone = "UTC"\n', '[[rule]]\nname = "n"\n'
    inline = (
        'select = { due = ["overdue", "today"] }\nset = { dueDate = "+1d" }\n'
        "limit = { per_user_per_day = 3 }"
    )
    tables = (
        '[rule.select]\ndue = [\n "overdue", # late\n "today",\n]\n[rule.set]\ndueDate = "+1d"\n'
    )
    dotted = 'select.due = ["overdue", "today"]\nset.dueDate = "+1d"\nlimit.per_user_per_day = 3'
    read_ = [
        read(head + rule + text).rules[0]
        for text in (inline, f"{tables}[rule.limit]\nper_user_per_day = 3", dotted)
    ]
    assert len({(str(one.select), str(one.set), one.limit) for one in read_}) == 1


def test_missing_library_of_holidays_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain days need no library."""
    monkeypatch.setitem(sys.modules, "holidays", None)
    days = GOOD.replace('"FR"', "[2026-12-24, 2026-12-31]")
    assert date(2026, 12, 24) in read(days).holidays
    with pytest.raises(InputError) as refused:
        read(GOOD)
    said = "rules.toml, line 2: holidays: 'FR' needs the extra [rules] ("
    assert str(refused.value).startswith(said)
    assert str(refused.value).endswith(": pip install holidays")


def test_part_of_a_country_has_holidays_of_its_own() -> None:
    """Epiphany is one in Bavaria, and not in Hamburg. A list is the union of its values."""
    epiphany, bastille = date(2026, 1, 6), date(2026, 7, 14)
    for value, expected in (
        ('"DE-BY"', (True, False)),
        ('"DE-HH"', (False, False)),
        ('["DE-HH", "FR"]', (False, True)),
        ('["DE-HH", 2026-01-06]', (True, False)),
    ):
        holidays = read(GOOD.replace('"FR"', value)).holidays
        assert (epiphany in holidays, bastille in holidays) == expected


def test_file_without_holidays_knows_weekends_alone() -> None:
    """An empty list is the same."""
    for line in ("", "holidays = []\n"):
        rules = read(GOOD.replace('holidays = "FR"\n', line))
        assert date(2026, 12, 25) not in rules.holidays
        assert not rules.calendar.is_workday(date(2026, 12, 26))
