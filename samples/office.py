"""Write the tasks of a team of five to stdout, 1,000 in all, for `bulkupdate sandbox --tasks`.

800 of them are Ben's. They are the same at every start.
"""

import hashlib
import json
import sys
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bulkupdate.sandbox import made_up_team

USERS = tuple(made_up_team().users)
PARIS = ZoneInfo("Europe/Paris")
FIRST_DAY = date(2026, 11, 30)
#: Number of workdays on which tasks are due.
WORKDAYS = 40

#: Type of a task → the beginning of its title.
KINDS = {"phone": "Call", "email": "Write to", "manual": "Prepare the offer for", "linkedin": "See"}
FIRST_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Elif", "Farid", "Greta")
LAST_NAMES = ("Abe", "Brandt", "Costa", "Dvořák", "Évrard")


def main() -> None:
    """Write one task a line, as the API would return it."""
    for number in range(1000):
        sys.stdout.write(json.dumps(task(number), ensure_ascii=False) + "\n")


def task(number: int) -> dict[str, object]:
    """A task. Four of five are Ben's."""
    anna, ben, *others = USERS
    kind = list(KINDS)[number % 4]
    name = f"{FIRST_NAMES[number % 7]} {LAST_NAMES[number % 5]}"
    due = datetime.combine(workday(number % WORKDAYS), time(9 + number % 8), PARIS)
    return {
        "_id": f"opp_{hashlib.sha256(f'office {number}'.encode()).hexdigest()[:17]}",
        "type": kind,
        "title": f"{KINDS[kind]} {name}",
        "content": "Ask for the new address." if number % 3 == 0 else "",
        "priority": number % 3,
        "dueDate": f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z",
        "userId": ben if number % 5 else (anna, *others)[number // 5 % 4],
        "status": "pending",
        "createdAt": "2026-11-02T08:00:00.000Z",
    }


def workday(number: int) -> date:
    """A workday, counted from the first day."""
    weeks, days = divmod(number, 5)
    return FIRST_DAY + timedelta(days=7 * weeks + days)


if __name__ == "__main__":
    main()
