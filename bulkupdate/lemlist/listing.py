"""The list of a team's tasks: pages, and where they end (`lemlist: get-many-tasks`).

lemlist documents neither the size of a page, nor the order, nor what comes after the last page. So
pages are read one after another until one is empty or shows nothing new; a short page ends nothing.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from bulkupdate.errors import BadListError, BadResponseError, NotFoundError
from bulkupdate.fields import shorten
from bulkupdate.lemlist.http import Response, json_of
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.models import Task

#: A filter of `GET /tasks`, as `{"filterId": "assignedTo", "in": ["usr_…"]}`.
Filter = Mapping[str, Any]

#: Most bytes of a page: some thousand tasks with long messages.
MAX_PAGE = 1 << 24

#: Most pages of one list. A list with more has no end.
MAX_PAGES = 20_000


def query(number: int, filters: Iterable[Filter]) -> dict[str, str]:
    """The query for a page. Filters are always sent: some teams get a 400 without them."""
    return {"page": str(number), "filters": json.dumps([*filters], separators=(",", ":"))}


def page_of(response: Response) -> tuple[list[Task], bool]:
    """The tasks in an answer, and that it is as expected.

    Raises:
        TaskError: the answer has no list of tasks.
        BadListError: a task holds the key. Without it the task would be another one, and would be
            sent back so.
    """
    value = json_of(response, "a list of tasks", most=MAX_PAGE)
    found = value.get("results") if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise BadResponseError(f"a 200 without a list of tasks: {response.excerpt()}", 200)
    if not all(map(_is_task, found)):
        raise BadResponseError("a 200 with a list that holds more than tasks with an _id", 200)
    shown = response.redacted(found)
    if shown != found:
        raise _holds_key(found, shown)
    return [Task(task) for task in found], True


def _holds_key(found: list[Any], shown: list[Any]) -> BadListError:
    """The error where a task holds the key. Without it, what stands there is not known."""
    task, without = next(pair for pair in zip(found, shown, strict=True) if pair[0] != pair[1])
    names = {theirs: ours for ours, theirs in TASK_NAMES.items()}
    fields = [names.get(name, name) for name in task if task[name] != without.get(name)]
    where = f"{fields[0]} of task" if fields and fields[0] in TASK_NAMES else "task"
    text = f"{where} {shorten(without['_id'])} holds the API key: take it out, and use a new key"
    return BadListError(text, 200)


def _is_task(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("_id"), str) and bool(value["_id"])


async def pages(
    fetch: Callable[[int], Awaitable[list[Task]]],
    most: int = MAX_PAGES,
    *,
    repeated: Callable[[int], object] = lambda _: None,
) -> AsyncIterator[list[Task]]:
    """Every page of a list, one after another. A task that comes again is left out.

    Args:
        fetch: returns the page with a number, from 0.
        most: most pages.
        repeated: is called with the number of tasks that came again, where a page shows new ones
            too: a list that moves, or has no order, may then lack others.

    Yields:
        The tasks of each page that no earlier page had.

    Raises:
        TaskError: a page can't be read.
        BadListError: the list does not end.
    """
    seen: set[int] = set()
    for number in range(most):
        page = await _page(fetch, number)
        new = {task.id: task for task in page if hash(task.id) not in seen}
        if not new:
            return
        if len(new) < len(page):
            repeated(len(page) - len(new))
        seen.update(map(hash, new))
        yield [*new.values()]
    raise BadListError(f"the list of tasks goes on after {most:,} pages")


async def _page(fetch: Callable[[int], Awaitable[list[Task]]], number: int) -> list[Task]:
    """A page; no task where the list has ended before it.

    A 404 may be what follows the last page. It is believed if this page and the next one both
    answer it again, so that a single wrong answer never cuts a list.
    """
    try:
        return await fetch(number)
    except NotFoundError:
        if number == 0:
            raise
    for again in (partial(fetch, number), partial(fetch, number + 1)):
        try:
            page = await again()
        except NotFoundError:
            continue
        if page:
            raise BadListError(f"page {number} of the list of tasks was there only at times")
    return []
