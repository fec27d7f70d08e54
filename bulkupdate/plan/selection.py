"""A selection of live tasks, by what they show.

The server may ignore a filter, or take a bound for another day. So it is asked for more than is
meant, and each task is judged here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from bulkupdate import fields
from bulkupdate.errors import ConfigError, InputError, check_flags, setting, texts
from bulkupdate.lemlist.values import is_pending
from bulkupdate.models import Task
from bulkupdate.plan.people import People

if TYPE_CHECKING:
    # `check` needs no HTTP library.
    from bulkupdate.lemlist.listing import Filter

#: Days by which the bounds for the server are wider: it may count in another zone, or exclude them.
_WIDER = timedelta(days=2)

#: Days before and after all due dates that there can be, in any time zone.
_EARLIEST, _LATEST = date(1999, 12, 30), date(2100, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The tasks to export. A task has to meet every condition that is given.

    Attributes:
        assigned_to: the owners: ids, e-mail addresses or names.
        types: the types, as lemlist shows them.
        campaigns: ids of the campaigns.
        due_from: the first day of the due date.
        due_to: the last day of the due date, included.
        overdue: whether the due date has passed.
        zone: the time zone of the days; UTC without one.
    """

    assigned_to: Sequence[str] = ()
    types: Sequence[str] = ()
    campaigns: Sequence[str] = ()
    due_from: date | None = None
    due_to: date | None = None
    overdue: bool = False
    zone: tzinfo | None = None

    def __post_init__(self) -> None:
        for name in ("assigned_to", "types", "campaigns"):
            object.__setattr__(self, name, texts(name, getattr(self, name)))
        check_flags(overdue=self.overdue)
        if not (self.zone is None or isinstance(self.zone, tzinfo)):
            raise ConfigError(f"zone takes a tzinfo, not {self.zone!r}")
        for name in ("due_from", "due_to"):
            day = getattr(self, name)
            # A moment is a date too, and can't be compared with one.
            if not (day is None or (isinstance(day, date) and not isinstance(day, datetime))):
                raise ConfigError(f"{setting(name)} takes a date, not {day!r}")
        if self.due_from and self.due_to and self.due_from > self.due_to:
            raise ConfigError(f"{setting('due_from')} is after {setting('due_to')}")

    @property
    def selects_all(self) -> bool:
        """Whether every pending task meets it: no condition is given."""
        return not self._needed

    @property
    def _needed(self) -> list[str]:
        """The fields of a task that the conditions look at."""
        conditions = {
            "userId": self.assigned_to,
            "type": self.types,
            "campaignId": self.campaigns,
            "dueDate": self.due_from or self.due_to or self.overdue,
        }
        return [name for name, condition in conditions.items() if condition]

    @property
    def _first(self) -> date:
        return max(self.due_from or _EARLIEST, _EARLIEST)

    @property
    def _last(self) -> date:
        return min(self.due_to or _LATEST, _LATEST)

    def owners(self, people: People) -> list[str]:
        """The ids of the owners.

        Raises:
            InputError: one of them stands for no user, or for several.
        """
        found = []
        for text in self.assigned_to:
            try:
                found.append(people.source(text))
            except ValueError as error:
                hint = error.hint if isinstance(error, fields.WrongValueError) else ""
                raise InputError(f"{setting('assigned_to')} {text!r} {error}{hint}") from None
        return found

    def known_owners(self, people: People) -> dict[str, str]:
        """The ids of those owners who are users of a team, by what they are called.

        Raises:
            InputError: one of them stands for several users, or the team could not be read.
        """
        found = {}
        for text in self.assigned_to:
            try:
                found[text] = people.source(text)
            except fields.WrongValueError:
                continue  # Of another team.
            except ValueError as error:
                raise InputError(f"{setting('assigned_to')} {text!r} {error}") from None
        return found

    def filters(self, owners: Sequence[str], now: datetime) -> "list[Filter]":
        """What the server is asked to leave out.

        It is not asked for types: those that it lists are not all that there are.

        Args:
            owners: the ids of the owners.
            now: the moment before which a task is overdue.
        """
        asked: list[dict[str, Any]] = []
        if owners:
            asked.append({"filterId": "assignedTo", "in": [*owners], "out": []})
        if self.campaigns:
            asked.append({"filterId": "campaignId", "in": [*self.campaigns], "out": []})
        if self.due_from or self.due_to or self.overdue:
            first, last = self._first - _WIDER, self._last + _WIDER
            if self.overdue:
                last = min(last, now.date() + _WIDER)
            asked.append({"filterId": "dueDate", "from": first.isoformat(), "to": last.isoformat()})
        return [*asked]

    def chosen(self, tasks: Iterable[Task], owners: Sequence[str], now: datetime) -> Iterator[Task]:
        """Those of some tasks that are selected. One that is not pending is not.

        Args:
            tasks: the tasks.
            owners: the ids of the owners.
            now: the moment before which a task is overdue.
        """
        for task in tasks:
            found = task.fields
            if (
                is_pending(found)
                and (not owners or found.get("userId") in owners)
                and (not self.types or found.get("type") in self.types)
                and (not self.campaigns or found.get("campaignId") in self.campaigns)
                and self._is_due(found, now)
            ):
                yield task

    def _is_due(self, task: Mapping[str, Any], now: datetime) -> bool:
        if not (self.due_from or self.due_to or self.overdue):
            return True
        try:
            due = datetime.fromisoformat(fields.due_date(task.get("dueDate")))
        except ValueError:
            return False
        if self.overdue and due >= now:
            return False
        zone = self.zone or UTC
        first = datetime.combine(self._first, time(), zone)
        end = datetime.combine(self._last + timedelta(days=1), time(), zone)
        return first <= due < end

    def unseen(self, shown: set[str]) -> str:
        """The name of a field that a condition looks at and no task shows; "" if there is none."""
        return next((name for name in self._needed if name not in shown), "")
