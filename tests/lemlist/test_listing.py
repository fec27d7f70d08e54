"""Tests of the list of tasks: its pages, and where it ends. Servers end it in several ways."""

import json
from collections.abc import Callable

import pytest

from bulkupdate.errors import BadListError, BadResponseError, NotFoundError
from bulkupdate.lemlist.http import Response
from bulkupdate.lemlist.listing import page_of, pages, query
from bulkupdate.lemlist.redact import Redactor
from bulkupdate.models import Task
from bulkupdate.sandbox import AfterLast, Order, Team
from tests.support.listed import listing, tasks

#: A list by the numbers of its pages: ids, or an error.
Pages = Callable[[int], list[str]]


async def read(page: Pages, most: int = 50) -> list[list[str]]:
    """The ids on the pages that are yielded."""

    async def fetch(number: int) -> list[Task]:
        return [Task({"_id": id_}) for id_ in page(number)]

    return [[task.id for task in found] async for found in pages(fetch, most)]


def missing(number: int) -> list[str]:
    raise NotFoundError(f"page {number}", 404)


@pytest.mark.parametrize("after", list(AfterLast))
@pytest.mark.parametrize("count", [0, 1, 3, 6, 7])
async def test_every_task_is_listed_however_the_list_ends(after: AfterLast, count: int) -> None:
    """After the last page comes nothing, that page again, or a 404: each task is there once."""
    async with listing(tasks(count), page_size=3, after_last=after) as (_, client):
        found = [task.id async for task in client.tasks()]
    assert found == [f"opp_{n}" for n in range(count)]


@pytest.mark.parametrize("size", [1, 2, 100, 1000])
async def test_size_of_a_page_does_not_matter(size: int) -> None:
    """All tasks are listed, whatever number of them the server puts on a page."""
    async with listing(tasks(25), page_size=size) as (_, client):
        assert len([task async for task in client.tasks()]) == 25


async def test_short_page_ends_nothing() -> None:
    """A page with fewer tasks than the one before it does not end the list; an empty one does."""
    given = {0: ["a", "b"], 1: ["c"], 2: ["d", "e"], 4: ["f"]}
    assert await read(lambda n: given.get(n, [])) == [["a", "b"], ["c"], ["d", "e"]]


async def test_task_that_moves_to_the_next_page_comes_once() -> None:
    """New tasks at the beginning push others to the next page: those are left out there."""
    given = {0: ["a", "b"], 1: ["b", "c", "c"], 2: ["c", "d"]}
    assert await read(lambda n: given.get(n, [])) == [["a", "b"], ["c"], ["d"]]
    team = Team(tasks(40))
    async with listing(team, page_size=10, shift=3) as (_, client):
        found = [task.id async for task in client.tasks()]
    assert len(set(found)) == len(found)
    assert {f"opp_{n}" for n in range(40)} <= set(found)


async def test_page_without_a_new_task_ends_the_list() -> None:
    """A server that begins anew after the last page is read once."""
    given = [["a", "b"], ["c", "d"], ["a", "b"], ["e"]]
    assert await read(lambda n: given[n]) == [["a", "b"], ["c", "d"]]


async def test_order_that_changes_lists_no_task_twice() -> None:
    """Where each page comes in another order, no task is listed twice."""
    async with listing(tasks(30), page_size=7, order=Order.RANDOM) as (_, client):
        found = [task.id async for task in client.tasks()]
    assert len(set(found)) == len(found)


async def test_list_without_an_end_is_an_error() -> None:
    """A list that goes on for ever fails. It is never cut."""
    with pytest.raises(BadListError, match="the list of tasks goes on after 50 pages"):
        await read(lambda n: [f"opp_{n}"])


async def test_endless_list_of_a_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server to which tasks come faster than they are read ends in the same error."""
    monkeypatch.setattr(pages, "__defaults__", (30,))
    async with listing(tasks(1), page_size=1, shift=2) as (sandbox, client):
        with pytest.raises(BadListError, match="goes on after 30 pages"):
            [task async for task in client.tasks()]
        assert sandbox.requests == {"200": 30}


async def test_404_that_does_not_stay_never_ends_the_list() -> None:
    """A page that is missing once and there at the next request makes the list an error."""
    answers: dict[int, list[list[str] | None]] = {0: [["a"]], 1: [None, ["b"]]}

    def page(number: int) -> list[str]:
        found = answers[number].pop(0)
        return missing(number) if found is None else found

    with pytest.raises(BadListError, match="page 1 of the list of tasks was there only at times"):
        await read(page)


async def test_404_before_another_page_never_ends_the_list() -> None:
    """A page that stays missing, with tasks on the one after it, makes the list an error."""
    with pytest.raises(BadListError, match=r"page 1 .* only at times"):
        await read(lambda n: [f"opp_{n}"] if n in (0, 2) else missing(n))


async def test_404_for_the_first_page_is_an_error() -> None:
    """A list has a first page. A 404 in its place is no empty list."""
    with pytest.raises(NotFoundError):
        await read(missing)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", r"a 200 without a list of tasks: \[\]"),
        ("{}", "a 200 without a list of tasks"),
        ('{"results": {"_id": "opp_a"}}', "a 200 without a list of tasks"),
        ('{"results": null}', "a 200 without a list of tasks"),
        ('{"results": [{"_id": "opp_a"}, {"id": "opp_b"}]}', "more than tasks with an _id"),
        ('{"results": [{"_id": ""}]}', "more than tasks with an _id"),
        ('{"results": [{"_id": 5}]}', "more than tasks with an _id"),
        ('{"results": ["opp_a"]}', "more than tasks with an _id"),
        ('{"results": [{"_id": "opp_a"}', "a 200 that is not JSON"),
        ("<html><body>lemlist</body></html>", "a 200 that is not JSON: <html>"),
        ("", "a 200 that is not JSON"),
        (json.dumps({"results": [{"_id": "opp_a", "content": "x" * (1 << 24)}]}), "longer than"),
    ],
)
def test_answer_that_is_no_list_is_never_an_empty_one(body: str, message: str) -> None:
    """A 200 that holds no list of tasks, or one task without an id, is an error."""
    with pytest.raises(BadResponseError, match=message) as caught:
        page_of(Response(200, {}, body.encode()))
    assert caught.value.status == 200


def test_list_is_what_was_asked_for() -> None:
    """A list without tasks is as good an answer as any: its connection is kept."""
    for body in (b'{"results": [], "page": "0"}', b'{"results": [], "page": 0}', b'{"results":[]}'):
        assert page_of(Response(200, {}, body)) == ([], True)


async def test_long_page_is_read_whole() -> None:
    """A page may be longer than the answer to an update: a hundred tasks with long messages."""
    async with listing(tasks(100, content="x" * 20_000)) as (_, client):
        found = [task async for task in client.tasks()]
    assert {len(task.fields["content"]) for task in found} == {20_000}


async def test_filters_are_sent_with_every_page() -> None:
    """A page is asked for by its number and its filters, `[]` without any."""
    assert query(3, []) == {"page": "3", "filters": "[]"}
    wanted = {"filterId": "assignedTo", "in": ["usr_a"], "out": []}
    assert query(0, [wanted])["filters"] == '[{"filterId":"assignedTo","in":["usr_a"],"out":[]}]'
    team = Team(tasks(2))
    team.tasks["opp_1"]["userId"] = "usr_a"
    async with listing(team, filters_required=True) as (_, client):
        assert len([task async for task in client.tasks()]) == 2
        assert [task.id async for task in client.tasks([wanted])] == ["opp_1"]


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"content": "my key is s3cr3t-k3y"}, "message of task 'opp_0'"),
        ({"title": "s3cr3t-k3&#121;"}, "title of task 'opp_0'"),
        ({"_id": "s3cr3t-k3y"}, "task '[redacted]'"),
        ({"leadId": "s3cr3t-k3y"}, "task 'opp_0'"),
        ({"s3cr3t-k3y": 1}, "task 'opp_0'"),
    ],
)
def test_task_that_holds_the_key_is_no_task_to_be_sent_back(
    more: dict[str, object], where: str
) -> None:
    """Without the key it would be another task, and with it the key would be in files."""
    body = json.dumps({"results": [{"_id": "opp_0", "title": "T", **more}]}).encode()
    with pytest.raises(BadListError) as refused:
        page_of(Response(200, {}, body, redactor=Redactor("s3cr3t-k3y")))
    told = f"{where} holds the API key: take it out, and use a new key"
    assert str(refused.value).endswith(told)
    assert "s3cr3t-k3y" not in str(refused.value)


async def test_key_of_the_sandbox_is_a_word_like_others() -> None:
    """It is no secret, so that a task may speak of the sandbox."""
    async with listing(Team(tasks(1, content="in the sandbox")), key="sandbox") as (_, client):
        (task,) = [task async for task in client.tasks()]
    assert task.fields["content"] == "in the sandbox"


def test_password_of_a_proxy_is_a_word_like_others_to_a_server() -> None:
    """A server does not know it: only messages about a proxy could show it."""
    body = b'{"results": [{"_id": "opp_0", "title": "Welcome1 on board"}]}'
    all_secrets, key = Redactor("s3cr3t-k3y", "Welcome1"), Redactor("s3cr3t-k3y")
    response = Response(200, {}, body, "", all_secrets, key)
    (task,), _ = page_of(response)
    assert task.title == "Welcome1 on board"
    assert "Welcome1" not in response.excerpt()
