"""What is logged, as people and programs read it."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bulkupdate.cli.screen import Screen
from bulkupdate.context import ACCOUNT
from bulkupdate.engine.turns import Turns
from bulkupdate.lemlist.rate import RateLimit
from tests.support.many import NAMES, ManyBench, edits_of

Write = Callable[..., Path]
HEADER = "account,id,title"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The logger of the program. What a screen changes in it is taken back."""
    logger = logging.getLogger("bulkupdate")
    before = logger.level, logger.handlers, logger.propagate
    yield logger
    logger.setLevel(before[0])
    logger.handlers, logger.propagate = before[1:]


async def lines_of_outage(path: Path, screen: Screen, capsys: pytest.CaptureFixture[str]) -> str:
    """What a run writes in which the server of one account of three is down."""
    screen.log(0)
    async with ManyBench() as bench:
        bench.account("globex").is_down = True
        await bench.run(path)
    return capsys.readouterr().err


@pytest.mark.usefixtures("log")
async def test_warning_names_the_account_that_it_is_about(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server of one account is down: the line begins with its name, and no other is there."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 60))
    lines = (await lines_of_outage(path, Screen(), capsys)).splitlines()
    assert lines
    assert {line.partition(": ")[0] for line in lines} == {"globex"}
    assert lines[0].startswith("globex: the server is down (server_error: ")


@pytest.mark.usefixtures("log")
async def test_warning_names_the_account_for_programs(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON, the name has a key of its own."""
    path = write("edits.csv", HEADER, *edits_of(NAMES, 60))
    first, *_ = (await lines_of_outage(path, Screen(as_json=True), capsys)).splitlines()
    event = json.loads(first)
    assert (event["event"], event["account"]) == ("note", "globex")
    assert event["message"].startswith("the server is down")


async def test_warning_of_a_limiter_names_its_account(
    write: Write, log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each account has a limiter with timers of its own: all of its records have its name."""
    Screen().log(1)
    path = write("edits.csv", HEADER, *edits_of(NAMES, 8))
    async with ManyBench(rate=RateLimit(7, 0.1)) as bench:
        bench.account("globex").rate = RateLimit(9, 0.1)
        await bench.run(path, rate="auto")
    said = [line for line in capsys.readouterr().err.splitlines() if "limit is now" in line]
    assert sorted(line.partition(":")[0] for line in said) == sorted(NAMES)
    assert all(line.startswith("globex: ") == ("is now 9/" in line) for line in said)
    assert log.handlers


async def test_timer_of_a_limiter_has_the_account_of_its_task() -> None:
    """What a timer does is done for the account whose request waits for it."""
    seen = []

    def next_start(now: float) -> float:
        seen.append(ACCOUNT.get())
        return now + 0.002 if len(seen) < 4 else now

    async def of_account() -> None:
        ACCOUNT.set("acme")
        await Turns(next_start, lambda _: None, lambda: None).wait()

    await asyncio.create_task(of_account())
    assert seen == ["acme"] * 4


@pytest.mark.usefixtures("log")
def test_records_of_no_account_have_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a run with one key, and in what all accounts share."""
    log = logging.getLogger("bulkupdate")
    Screen().log(0)
    log.warning("a note")
    log.error("an error")
    Screen(as_json=True).log(0)
    log.warning("a note")
    assert capsys.readouterr().err == (
        'a note\nerror: an error\n{"event":"note","message":"a note"}\n'
    )


@pytest.mark.usefixtures("log")
def test_error_of_an_account_has_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    """It stands behind the word that makes it an error."""
    Screen(quiet=True).log(-1)
    before = ACCOUNT.set("Acme, Paris")
    logging.getLogger("bulkupdate").error("no room")
    ACCOUNT.reset(before)
    assert capsys.readouterr().err == "error: Acme, Paris: no room\n"
