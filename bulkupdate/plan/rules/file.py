"""A file of rules: TOML, checked whole, so that each problem is told at once with its line."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path as FilePath
from typing import Any, TypeVar
from zoneinfo import available_timezones

from bulkupdate import fields
from bulkupdate.errors import ConfigError, InputError
from bulkupdate.plan.rules.conditions import LOOKED_AT, NOT_IN_TEAM, Conditions, TextTest
from bulkupdate.plan.rules.moments import DueTest, DueWord
from bulkupdate.plan.rules.problems import Problems, shown
from bulkupdate.plan.rules.rule import (
    Distribution,
    MostChanges,
    Named,
    Rule,
    Rules,
    Setting,
)
from bulkupdate.plan.rules.workdays import Holidays, country
from bulkupdate.reader import is_formula, zone
from bulkupdate.toml import Path, Places, TomlError, parse

_FILE_KEYS = ("timezone", "holidays", "max_changes", "account", "rule")
_RULE_KEYS = (
    "name",
    "account",
    "from",
    "until",
    "select",
    "set",
    "distribute",
    "limit",
    "irreversible",
    "holidays",
)
_SELECT_KEYS = (*LOOKED_AT, "status")
_SET_KEYS = tuple(name for name in fields.RULES if name != "id")
_LIMIT_KEYS = ("per_user_per_day",)

#: The keys of `set` that give nobody a task, and move none to another day.
_UNLIMITED = {*_SET_KEYS} - {"assignedTo", "dueDate"}

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)\s*%")

Value = TypeVar("Value")


def read_rules(path: str | FilePath, text: bytes) -> Rules:
    """The rules in the text of a file.

    Args:
        path: the name of the file, for messages.
        text: its content: TOML in UTF-8.

    Raises:
        InputError: the text is not TOML, or anything in it is wrong. The message holds every
            problem, a line for each.
    """
    name = FilePath(path).name
    try:
        decoded, content = parse(text)
    except TomlError as error:
        raise InputError(f"{name}, line {error.line}: {error.what}") from None
    problems = Problems(name, Places(decoded))
    rules = _File(name, content, problems).rules()
    problems.stop()
    return rules


class _File:
    """The content of a file of rules.

    Args:
        name: the name of the file.
        content: its content, as `tomllib` reads it.
        problems: gets what is wrong.
    """

    def __init__(self, name: str, content: Mapping[str, Any], problems: Problems) -> None:
        #: The accounts that all rules are for which name no others.
        self.account: tuple[Named, ...] = ()
        self._name = name
        self._content = content
        self._problems = problems
        self._countries: dict[str, Any] = {}

    def rules(self) -> Rules:
        """The rules, as far as they could be read."""
        self._problems.check_keys((), self._content, _FILE_KEYS)
        timezone, zone_ = self._zone()
        holidays = self.holidays(("holidays",), self._content.get("holidays", []))
        self.account = self.accounts(("account",), self._content.get("account"))
        rules = tuple(
            _RuleTable(self, number, table, zone_, holidays).rule()
            for number, table in enumerate(self._tables())
        )
        names = [rule.name for rule in rules]
        for number, name in enumerate(names):
            if name and name in names[:number]:
                self.add(("rule", number, "name"), f"{name!r} is the name of two rules")
        return Rules(
            name=self._name,
            timezone=timezone,
            zone=zone_,
            holidays=holidays,
            max_changes=self._most(),
            rules=rules,
        )

    def add(self, path: Path, message: str) -> None:
        """Add a problem."""
        self._problems.add(path, message)

    def where(self, path: Path) -> str:
        """A place, for messages."""
        return self._problems.where(path)

    def check_keys(self, path: Path, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        """Add each key of a table that is none."""
        self._problems.check_keys(path, table, known)

    def read(self, path: Path, value: Any, reading: Callable[[Any], Value]) -> Value | None:
        """The meaning of a value; None where it is wrong, which is noted."""
        try:
            return reading(value)
        except ValueError as error:
            self._problems.add_error(path, value, error)
            return None

    def each(self, path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
        """Each element of a list, or the value alone, with its place. An empty list is noted."""
        if not isinstance(value, list):
            yield path, value
            return
        if not value:
            self.add(path, "is an empty list: write at least one value, or leave out the key")
        for number, one in enumerate(value):
            yield (*path, number), one

    @property
    def has_holidays(self) -> bool:
        """Whether the file names holidays, be they right or wrong."""
        return bool(self._content.get("holidays", []) != [])

    def _zone(self) -> tuple[str, tzinfo]:
        name = self._content.get("timezone")
        if name is None:
            self.add((), 'timezone: is missing: write timezone = "Europe/Paris" at the top')
        elif found := self.read(("timezone",), name, _zone):
            return str(name), found
        return "UTC", UTC

    def _most(self) -> MostChanges | None:
        value = self._content.get("max_changes")
        return None if value is None else self.read(("max_changes",), value, _most)

    def holidays(self, path: Path, value: Any) -> Holidays:
        """The days that a key `holidays` stands for; none for an empty list."""
        countries, days = [], []
        for place, one in self.each(path, value) if value != [] else ():
            found = self.read(place, one, self._country_or_day)
            if isinstance(found, date):
                days.append(found)
            elif found is not None:
                countries.append(found)
        return Holidays(countries, days)

    def _country_or_day(self, value: Any) -> Any:
        if isinstance(value, str) and not value[:1].isdigit():
            if value not in self._countries:
                self._countries[value] = country(value)
            return self._countries[value]
        return _day(value)

    def accounts(self, path: Path, value: Any) -> tuple[Named, ...]:
        """The accounts that a key `account` names; none without it."""
        if value is None:
            return ()
        read = [(place, self.read(place, one, _account)) for place, one in self.each(path, value)]
        return tuple(Named(one, self.where(place)) for place, one in read if one is not None)

    def _tables(self) -> list[Mapping[str, Any]]:
        tables = self._content.get("rule")
        if tables is None:
            self.add((), "there is no rule: write [[rule]], and its keys below it")
            return []
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            self.add(("rule",), "is no list of rules: write [[rule]], with two brackets")
            return []
        if not tables:
            self.add(("rule",), "there is no rule: write [[rule]], and its keys below it")
        return tables


class _RuleTable:
    """The table of a rule.

    Args:
        file: the file.
        number: its number, from 0.
        table: its content.
        zone: the time zone of the file.
        holidays: the holidays of the file.
    """

    def __init__(
        self,
        file: _File,
        number: int,
        table: Mapping[str, Any],
        zone: tzinfo,
        holidays: Holidays,
    ) -> None:
        self._file = file
        self._path: Path = ("rule", number)
        self._table = table
        self._zone = zone
        self._holidays = holidays
        self._has_holidays = file.has_holidays
        own = table.get("holidays")
        if own is not None:
            self._holidays = file.holidays((*self._path, "holidays"), own)
            self._has_holidays = own != []

    def rule(self) -> Rule:
        """The rule, as far as it could be read."""
        self._file.check_keys(self._path, self._table, _RULE_KEYS)
        since, until = self._day("from"), self._day("until")
        own = self._file.accounts((*self._path, "account"), self._table.get("account"))
        if since and until and until < since:
            self._add("until", f"{until} is before {since}, the first day of the rule")
        select, sources = self._select()
        setting = self._setting()
        return Rule(
            number=int(self._path[1]) + 1,
            name=self._name(),
            select=select,
            sources=sources,
            set=setting,
            since=since,
            until=until,
            distribute=self._distribution(setting),
            limit=self._limit(),
            accounts=own or self._file.account,
            irreversible=self._irreversible(setting),
            holidays=self._holidays,
        )

    def _add(self, key: str, message: str) -> None:
        self._file.add((*self._path, key), message)

    def _name(self) -> str:
        name = self._table.get("name")
        if name is None:
            self._file.add(
                self._path, "name: is missing: results and `undo --rule` tell rules by it"
            )
        elif not isinstance(name, str) or not name.strip() or not name.isprintable():
            self._add(
                "name",
                f"{fields.shorten(shown(name))} is no name: write a text in quotes, on one line",
            )
        elif is_formula(name.strip()):
            # A file of failed rows would show another name in a spreadsheet.
            self._add("name", f"{name!r} begins as a formula does: begin with a letter")
        else:
            return " ".join(name.split())
        return ""

    def _day(self, key: str) -> date | None:
        value = self._table.get(key)
        return None if value is None else self._file.read((*self._path, key), value, _day)

    def _part(self, key: str, known: tuple[str, ...], example: str) -> Mapping[str, Any]:
        """The table under a key; empty where it is missing or wrong, which is noted."""
        table = self._table.get(key)
        if table is None:
            self._file.add(self._path, f"{key}: is missing: write {key} = {example}")
            return {}
        if not isinstance(table, dict):
            self._add(key, f"is no table: write {key} = {example}")
            return {}
        self._file.check_keys((*self._path, key), table, known)
        return table

    def _select(self) -> tuple[Conditions, tuple[Named, ...]]:
        table = self._part("select", _SELECT_KEYS, '{ due = "overdue" }')
        wanted = {}
        sources: tuple[Named, ...] = ()
        for key in filter(table.__contains__, _SELECT_KEYS):
            path = (*self._path, "select", key)
            read = [
                (place, self._file.read(place, one, self._condition(key)))
                for place, one in self._file.each(path, table[key])
            ]
            good = [(place, one) for place, one in read if one is not None]
            if key == "assignedTo":
                sources = tuple(Named(one, self._file.where(place)) for place, one in good)
            # Each listed task that a rule may change is pending.
            if key != "status":
                wanted[key] = tuple(one for _, one in good)
        return Conditions(wanted), sources

    def _condition(self, key: str) -> Callable[[Any], Any]:
        """The function that reads a value of a key of `select`."""
        if key == "due":
            return self._due
        if key == "created":
            return lambda value: DueTest.parse(_text(value), self._zone)
        return _CONDITIONS[key]

    def _due(self, value: Any) -> DueTest:
        found = DueTest.parse(_text(value), self._zone)
        if found.word == "holiday" and not self._has_holidays:
            raise ValueError('needs holidays: write holidays = "FR", or a list of days')
        return found

    def _setting(self) -> Setting:
        table = self._part("set", _SET_KEYS, '{ dueDate = "next workday 09:00" }')
        if not table and isinstance(self._table.get("set"), dict):
            self._add("set", f"sets nothing; accepted: {', '.join(_SET_KEYS)}")
        path = (*self._path, "set")
        targets: tuple[Named, ...] = ()
        due: DueWord | None = None
        values: dict[str, Any] = {}
        for key in filter(table.__contains__, _SET_KEYS):
            value = table[key]
            if key == "assignedTo":
                targets = self._targets((*path, key), value)
            elif key == "dueDate":
                due = self._file.read((*path, key), value, self._due_word)
            else:
                found = self._value((*path, key), key, value)
                values |= {key: found} if found is not None else {}
        if sum(len(values.get(name, ())) for name in fields.MEDIA) > fields.MAX_MEDIA:
            self._add("set", f"images and videos: a task takes {fields.MAX_MEDIA} in all")
        return Setting(targets, due, values)

    def _targets(self, path: Path, value: Any) -> tuple[Named, ...]:
        found = []
        for place, one in self._file.each(path, value):
            if self._file.read(place, one, fields.person):
                found.append(Named(one.strip(), self._file.where(place)))
        return tuple(found)

    def _due_word(self, value: Any) -> DueWord:
        return DueWord.parse(_date_text(value), self._zone)

    def _value(self, path: Path, key: str, value: Any) -> Any:
        if isinstance(value, list) and key not in fields.MEDIA:
            self._file.add(
                path, "is a list: only assignedTo, images and videos take several values"
            )
            return None
        return self._file.read(path, value, fields.RULES[key])

    def _distribution(self, setting: Setting) -> Distribution:
        value = self._table.get("distribute")
        if value is None:
            return Distribution.EVEN
        if value not in [*Distribution]:
            near = fields.nearest(value, Distribution) if isinstance(value, str) else ""
            hint = f"did you mean {near}?" if near else "accepted: even, balance"
            self._add("distribute", f"{fields.shorten(shown(value))} is no way to deal; {hint}")
            return Distribution.EVEN
        if len(setting.targets) < 2 and self._are_all_targets(setting):
            self._add("distribute", "needs several people: write set.assignedTo as a list")
        return Distribution(value)

    def _are_all_targets(self, setting: Setting) -> bool:
        """Whether all people to whom the rule deals could be read. If not, it is noted already."""
        table = self._table.get("set")
        if not isinstance(table, dict) or not table or table.get("assignedTo") == []:
            return False
        named = table.get("assignedTo", [])
        return len(setting.targets) == (len(named) if isinstance(named, list) else 1)

    def _limit(self) -> int | None:
        if "limit" not in self._table:
            return None
        table = self._part("limit", _LIMIT_KEYS, "{ per_user_per_day = 40 }")
        value = table.get("per_user_per_day")
        if value is None:
            if not table and isinstance(self._table["limit"], dict):
                self._add("limit", "limits nothing; accepted: per_user_per_day")
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            path = (*self._path, "limit", "per_user_per_day")
            self._file.add(path, f"{fields.shorten(shown(value))} is no number of tasks from 1 on")
            return None
        named = self._table.get("set")
        if isinstance(named, dict) and named and set(named) <= _UNLIMITED:
            self._add("limit", "limits nothing: the rule sets neither assignedTo nor dueDate")
        return value

    def _irreversible(self, setting: Setting) -> bool:
        value = self._table.get("irreversible", False)
        if not isinstance(value, bool):
            self._add("irreversible", f"{fields.shorten(shown(value))} is neither true nor false")
            return True
        for name, wanted in () if value else setting.values.items():
            if name == "done" or wanted in ("", ()):
                what = "sets done" if name == "done" else f"clears {name}"
                path = (*self._path, "set", name)
                message = f"{what}, which can't be taken back: add irreversible = true to the rule"
                self._file.add(path, message)
        return value


def _account(value: Any) -> str:
    if not _text(value).strip() or value != value.strip():
        raise ValueError("is no name of an account: write it as the file of accounts does")
    return str(value)


def _zone(value: Any) -> tzinfo:
    try:
        return zone(_text(value))
    except ConfigError:
        near = fields.nearest(value, available_timezones())
        hint = f"; did you mean {near}?" if near else ": write it as Europe/Paris, UTC or +02:00"
        raise ValueError(f"is no time zone{hint}") from None


def _most(value: Any) -> MostChanges:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return MostChanges(value)
    found = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found and float(found[1]) <= 100:
        return MostChanges(percent=float(found[1]))
    raise ValueError('is neither a number of tasks nor a share of them: write 200 or "20%"')


def _day(value: Any) -> date:
    found = value
    if isinstance(value, str):
        found = fields.iso_date(value.strip())
    if isinstance(found, datetime) or not isinstance(found, date):
        raise ValueError("is no day: write it as 2026-12-20")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not text: put it in quotes")
    return value


def _text_test(value: Any) -> TextTest:
    if isinstance(value, dict):
        raise ValueError(
            "is a table: write a part of the text, or a regular expression between slashes, as"
            " '/^call /'"
        )
    return TextTest.parse(_text(value))


def _date_text(value: Any) -> str:
    """The text of a date, which TOML may have read as one."""
    return value.isoformat() if isinstance(value, date) else _text(value)


def _source(value: Any) -> str:
    """An owner; "" for a task that has none."""
    return fields.person(value) if value != "" else ""


def _owner(value: Any) -> str:
    if " ".join(_text(value).lower().split()) != NOT_IN_TEAM:
        hint = "a person goes into select.assignedTo"
        raise ValueError(f"is no condition on the owner; accepted: {NOT_IN_TEAM!r} ({hint})")
    return NOT_IN_TEAM


def _status(value: Any) -> str:
    if value != "pending":
        raise ValueError("selects no task: only pending tasks are listed and can be changed")
    return "pending"


def _campaign(value: Any) -> str:
    if " " in (word := _word(value)):
        raise ValueError("is a name: a task shows only the id of its campaign (cam_…)")
    return word


def _word(value: Any) -> str:
    return _text(value).strip()


#: Key of `select` → the function that reads a value of it. `due` and `created` need the time zone.
_CONDITIONS: dict[str, Callable[[Any], Any]] = {
    "id": fields.task_id,
    "assignedTo": _source,
    "owner": _owner,
    "type": _word,
    "campaign": _campaign,
    "leadId": _word,
    "contactId": _word,
    "priority": fields.priority,
    "title": _text_test,
    "message": _text_test,
    "status": _status,
}
