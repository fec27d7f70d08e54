"""`update_tasks`: updates from a program that brings no file, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bulkupdate import ApiKey, Endpoint, Outcome, RetryPolicy, TaskUpdate, update_tasks
from bulkupdate.engine.spool import Spool
from bulkupdate.errors import ConfigError, InvalidUpdateError, JournalError, RunStoppedError
from bulkupdate.models import Result, Row
from bulkupdate.sandbox import Fault, Sandbox, SandboxConfig, Team, Unknown
from tests.support.many import NAMES, ManyBench


def sandbox(**settings: object) -> Sandbox:
    config = SandboxConfig(rate=None, unknown=Unknown.CREATE, **settings)  # type: ignore[arg-type]
    return Sandbox(config, Team())


def endpoint(server: Sandbox, key: str = "sandbox") -> Endpoint:
    return Endpoint(api_key=ApiKey(key), base_url=server.base_url)


async def taken(stream: AsyncIterator[Result], results: list[Result]) -> None:
    """Take the results of a stream, up to its error if there is one."""
    async for result in stream:
        results.append(result)  # noqa: PERF401 - a comprehension would lose them


async def test_each_update_gets_one_result() -> None:
    """Each update gets one result, also when the server often fails."""
    updates = [TaskUpdate(id=f"opp_{n}", title=f"T{n}") for n in range(1, 51)]
    updates.append(TaskUpdate(id="opp_x"))
    async with sandbox(faults={Fault.INTERNAL_ERROR: 0.2}) as server:
        retry = RetryPolicy(max_attempts=20, first_backoff=0.001)
        stream = update_tasks(updates, endpoint(server), rate=None, retry=retry)
        results = [result async for result in stream]
        titles = [server.team.tasks[f"opp_{n}"]["title"] for n in range(1, 51)]
    assert sorted(result.row for result in results) == list(range(1, 52))
    assert {r.outcome for r in results if r.id != "opp_x"} == {Outcome.UPDATED}
    assert next(r for r in results if r.id == "opp_x").outcome is Outcome.UNCHANGED
    assert titles == [f"T{n}" for n in range(1, 51)]


async def test_updates_come_from_an_async_iterator() -> None:
    """The stream accepts updates from an async iterator."""

    async def updates() -> AsyncIterator[TaskUpdate]:
        for n in range(10):
            await asyncio.sleep(0)
            yield TaskUpdate(id=f"opp_{n}", done=True)

    async with sandbox() as server:
        results = [r async for r in update_tasks(updates(), endpoint(server), rate=None)]
    assert len(results) == 10


async def test_refused_key_ends_stream_with_error() -> None:
    """A refused key ends the stream with an error after one request."""
    updates = (TaskUpdate(id=f"opp_{n}", done=True) for n in range(10_000))
    results: list[Result] = []
    async with sandbox() as server:
        with pytest.raises(RunStoppedError, match="unauthorized"):
            await taken(update_tasks(updates, endpoint(server, "wrong"), rate=None), results)
        assert server.requests.total() == 1
    assert [result.outcome for result in results] == [Outcome.FAILED]


async def test_closing_the_stream_ends_everything() -> None:
    """A caller that closes the stream early ends its requests, its reading and its tasks."""
    taken = 0

    def updates() -> Iterator[TaskUpdate]:
        nonlocal taken
        for n in range(100_000):
            taken += 1
            yield TaskUpdate(id=f"opp_{n}", done=True)

    async with sandbox() as server:
        before = asyncio.all_tasks()
        stream = update_tasks(updates(), endpoint(server), rate=None, workers=4)
        async for _ in stream:
            break
        await asyncio.sleep(0.05)
        await stream.aclose()
        left = {
            getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks() - before
        }
        assert not {name for name in left if not name.startswith("RequestHandler.")}
        sent = server.requests.total()
        await asyncio.sleep(0.02)
        assert server.requests.total() == sent < 200
    assert taken < 5000
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
@pytest.mark.parametrize("stops_at", [0, 3, 150])
async def test_error_of_callers_updates_comes_after_every_result(
    stops_at: int, error: type[BaseException]
) -> None:
    """What was brought before the caller's own error is sent, and its results come first."""

    def updates() -> Iterator[TaskUpdate]:
        for n in range(stops_at):
            yield TaskUpdate(id=f"opp_{n}", done=True)
        raise error

    results: list[Result] = []
    async with sandbox(latency=(20, 20)) as server:
        with pytest.raises(error):
            await taken(update_tasks(updates(), endpoint(server), rate=None), results)
        assert server.requests.total() == stops_at
    assert sorted(result.row for result in results) == list(range(1, stops_at + 1))
    assert all(result.outcome is Outcome.UPDATED for result in results)


async def test_refused_key_comes_before_the_error_of_the_updates() -> None:
    """An error of the reading does not hide that other updates have no result."""

    async def updates() -> AsyncIterator[TaskUpdate]:
        for n in range(20):
            yield TaskUpdate(id=f"opp_{n}", done=True)
        raise ZeroDivisionError

    async with sandbox() as server:
        with pytest.raises(RunStoppedError, match="unauthorized") as caught:
            _ = [r async for r in update_tasks(updates(), endpoint(server, "wrong"), rate=None)]
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("ending", ["refused", "closed", "cancelled"])
async def test_what_the_updates_do_at_their_end_is_waited_for(ending: str) -> None:
    """A caller's generator may commit, or close a cursor: it is cancelled once, and awaited."""
    ended = asyncio.Event()

    async def updates() -> AsyncIterator[TaskUpdate]:
        try:
            yield TaskUpdate(id="opp_1", done=True)
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.5)
            ended.set()

    async with sandbox() as server:
        key = "sandbox" if ending == "closed" else "wrong"
        stream = update_tasks(updates(), endpoint(server, key), rate=None)
        if ending == "closed":
            await anext(stream)
            await stream.aclose()
        else:

            async def use() -> None:
                async for _ in stream:
                    pass

            using = asyncio.create_task(use())
            if ending == "cancelled":
                # While the end of the updates is waited for.
                await asyncio.sleep(0.2)
                using.cancel()
            error = asyncio.CancelledError if ending == "cancelled" else RunStoppedError
            with pytest.raises(error):
                await using
    assert ended.is_set()


async def test_update_with_images_ends_although_the_key_is_refused() -> None:
    """Its server downloads them meanwhile, for longer than another request may take."""
    applied: list[str] = []
    is_under_way = asyncio.Event()

    async def patch(request: web.Request) -> web.Response:
        id_ = (await request.json())["id"]
        if id_ == "opp_images":
            is_under_way.set()
            await asyncio.sleep(0.6)
            applied.append(id_)
        if id_ == "opp_refused":
            await is_under_way.wait()
            return web.json_response({"error": "no"}, status=401)
        return web.json_response({"_id": id_})

    application = web.Application()
    application.router.add_patch("/api/tasks", patch)
    results: list[Result] = []
    async with TestServer(application) as server:
        here = Endpoint(api_key=ApiKey("k"), base_url=str(server.make_url("/api")), timeout=0.2)
        updates = [
            TaskUpdate(id="opp_1", done=True),
            TaskUpdate(id="opp_images", images=("https://a.example/1.png",)),
            TaskUpdate(id="opp_refused", done=True),
        ]
        with pytest.raises(RunStoppedError):
            await taken(update_tasks(updates, here, rate=None), results)
    assert applied == ["opp_images"]
    assert ("opp_images", "updated") in [(result.id, result.outcome) for result in results]


async def test_item_that_is_no_update_is_refused_after_those_before_it() -> None:
    """It is named by its number, and by what it is."""
    results: list[Result] = []
    updates: list[Any] = [TaskUpdate(id="opp_1", done=True), "opp_2"]
    async with sandbox(latency=(20, 20)) as server:
        with pytest.raises(InvalidUpdateError, match="update 2 is no TaskUpdate, but a str"):
            await taken(update_tasks(updates, endpoint(server), rate=None), results)
    assert [result.outcome for result in results] == [Outcome.UPDATED]


async def test_slow_caller_gets_every_settled_result() -> None:
    """A slow caller gets the result of every applied update before the error."""
    updates = [TaskUpdate(id=f"opp_{n}", done=True) for n in range(400)]
    taken = 0
    async with sandbox() as server:
        slow = Endpoint(api_key=ApiKey("sandbox"), base_url=server.base_url, timeout=0.05)
        with pytest.raises(RunStoppedError):  # noqa: PT012 - it comes last
            async for _ in update_tasks(updates, slow, rate=None):
                taken += 1
                if taken == 20:
                    server.config = replace(server.config, key="another")
                    await asyncio.sleep(0.3)
        applied = server.requests["200"]
    assert taken >= applied > 20


@pytest.mark.parametrize("workers", [0, -1, 1001])
async def test_impossible_number_of_workers_is_refused(workers: int) -> None:
    """A number of workers outside 1 to 1000 raises a configuration error."""
    nowhere = Endpoint(api_key=ApiKey("k"), base_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="from 1 to 1000"):
        await anext(update_tasks([TaskUpdate(id="opp_a", title="T")], nowhere, workers=workers))


async def test_rate_of_another_type_is_refused_before_anything_is_sent() -> None:
    """A text is one of the command line."""
    rate: Any = "20/2s"
    async with sandbox() as server:
        with pytest.raises(ConfigError, match=r"^rate takes 'auto', None or a RateLimit"):
            await anext(update_tasks([TaskUpdate(id="a", done=True)], endpoint(server), rate=rate))
        assert not server.requests.total()


@pytest.mark.parametrize("workers", [1, 1000])
async def test_any_possible_number_of_workers_sends(workers: int) -> None:
    """One worker is enough, and a thousand are not too many."""
    async with sandbox() as server:
        update = TaskUpdate(id="opp_a", title="T")
        stream = update_tasks([update], endpoint(server), rate=None, workers=workers)
        assert [result.outcome async for result in stream] == [Outcome.UPDATED]


# --- several accounts -----------------------------------------------------------------------


def accounts(bench: ManyBench) -> dict[str, Endpoint]:
    return {name: one.endpoint() for name, one in bench.accounts().items()}


async def test_updates_of_several_accounts_go_with_their_keys() -> None:
    """Each pair names its account, and the result does. Sorted by account, none has to wait."""
    updates = [(name, TaskUpdate(id=f"opp_{n}", title=name)) for name in NAMES for n in range(200)]
    async with ManyBench(latency=(2, 2)) as bench:
        stream = update_tasks(updates, accounts(bench), rate=None, workers=2)
        results = [result async for result in stream]
        for name in NAMES:
            assert {task["title"] for task in bench.account(name).team.tasks.values()} == {name}
        half = [seen.account for seen in bench.seen[:300]]
    assert {(result.account, result.id) for result in results} == {
        (name, update.id) for name, update in updates
    }
    assert sorted(result.row for result in results) == list(range(1, 601))
    assert min(half.count(name) for name in NAMES) > 50


async def test_account_that_stops_keeps_no_other_waiting() -> None:
    """All updates of the others are settled. The error at the end names the account."""
    updates = [(name, TaskUpdate(id=f"opp_{n}", done=True)) for n in range(50) for name in NAMES]
    results: list[Result] = []
    async with ManyBench() as bench:
        bench.account("globex").refused = True
        with pytest.raises(RunStoppedError, match="1 account of 3 stopped: globex: "):
            await taken(update_tasks(updates, accounts(bench), rate=None), results)
    updated = [result.account for result in results if result.outcome is Outcome.UPDATED]
    assert (updated.count("acme"), updated.count("initech")) == (50, 50)


async def test_endless_updates_are_read_only_as_far_as_needed() -> None:
    """A program may bring updates for ever: they are read ahead a little, not to their end."""
    taken = 0

    def updates() -> Iterator[tuple[str, TaskUpdate]]:
        nonlocal taken
        while True:
            taken += 1
            yield NAMES[taken % 3], TaskUpdate(id=f"opp_{taken}", done=True)

    async with ManyBench() as bench:
        stream = update_tasks(updates(), accounts(bench), rate=None, workers=2)
        for _ in range(100):
            await anext(stream)
        assert taken < 1000
        await stream.aclose()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (("hooli", TaskUpdate(id="a", done=True)), "update 61 is of no known account: 'hooli'"),
        (TaskUpdate(id="a"), "update 61 is no pair of an account's name and a TaskUpdate"),
        (("acme", "a"), "update 61 is no pair of an account's name and a TaskUpdate"),
        (([], TaskUpdate(id="a")), "update 61 is no pair of an account's name and a TaskUpdate"),
        (None, "update 61 is no pair of an account's name and a TaskUpdate"),
    ],
)
async def test_update_of_no_known_account_is_refused_after_those_before_it(
    item: Any, message: str
) -> None:
    """Nothing is guessed, and no update that was sent is without its result."""
    updates = [(name, TaskUpdate(id=f"opp_{n}", done=True)) for n in range(20) for name in NAMES]
    results: list[Result] = []
    async with ManyBench(latency=(20, 20)) as bench:
        with pytest.raises(InvalidUpdateError, match=message):
            await taken(
                update_tasks([*updates, item, *updates], accounts(bench), rate=None), results
            )
        assert len(bench.seen) == 60
    assert sorted(result.row for result in results) == list(range(1, 61))


async def test_error_of_callers_pairs_comes_after_every_result() -> None:
    """What was brought before the caller's own error is sent, whatever its account."""

    async def updates() -> AsyncIterator[tuple[str, TaskUpdate]]:
        for n in range(60):
            yield NAMES[n // 20], TaskUpdate(id=f"opp_{n}", done=True)
        raise ZeroDivisionError

    results: list[Result] = []
    async with ManyBench(latency=(20, 20)) as bench:
        with pytest.raises(ZeroDivisionError):
            await taken(update_tasks(updates(), accounts(bench), rate=None), results)
        assert len(bench.seen) == 60
    assert sorted(result.row for result in results) == list(range(1, 61))


async def test_same_key_for_two_accounts_is_refused() -> None:
    """They would share its limit."""
    async with ManyBench() as bench:
        one = accounts(bench)["acme"]
        with pytest.raises(ConfigError, match="have the same API key"):
            async for _ in update_tasks([], {"acme": one, "acme-2": one}):
                pass


async def test_updates_that_can_not_be_read_back_end_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its account stops for the error of the disk. Nobody waits for ever, and the others end."""
    read = Spool.row

    def unreadable(self: Spool, account: str, index: int) -> Row:
        if (account, index) == ("acme", 5):
            raise JournalError("rows can't be read back from disk: Input/output error")
        return read(self, account, index)

    monkeypatch.setattr(Spool, "row", unreadable)
    updates = [(name, TaskUpdate(id=f"opp_{n}", done=True)) for n in range(20) for name in NAMES]
    results: list[Result] = []
    async with ManyBench(latency=(5, 5)) as bench, asyncio.timeout(5):
        with pytest.raises(RunStoppedError, match=r"1 account of 3 .* can't be read back"):
            await taken(update_tasks(updates, accounts(bench), rate=None), results)
        assert len(bench.seen) == len(results) >= 40
