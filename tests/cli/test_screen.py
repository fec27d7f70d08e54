"""What is logged, as people and programs read it."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bulkupdate.cli.screen import Screen, _Echoes
from bulkupdate.context import ACCOUNT
from bulkupdate.engine.turns import Alarms, Turns
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


@pytest.mark.slow
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


def test_same_message_of_many_accounts_is_shown_a_few_times() -> None:
    """Else an outage of 500 accounts is 500 lines. Another message, or a later one, is shown."""
    now, echoes = [0.0], _Echoes(lambda: now[0])
    shown = [echoes.heard("down", f"a{n}") for n in range(500)]
    last = "down (more accounts with this are not shown)"
    assert [one for one in shown if one is not None] == ["down"] * 4 + [last]
    assert echoes.heard("down", "a2") == "down"
    assert echoes.heard("up", "a7") == "up"
    now[0] = 59.0
    assert echoes.heard("down", "b1") is None
    now[0] = 61.0
    assert echoes.heard("down", "b2") == "down"


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("screen", "verbosity", "shown"),
    [(Screen(), 0, 5), (Screen(), 1, 40), (Screen(as_json=True), 0, 40)],
)
def test_programs_and_verbose_runs_get_each_message(
    screen: Screen, verbosity: int, shown: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same warning of 40 accounts, and an error of each, which is always shown."""
    screen.log(verbosity)
    for n in range(40):
        before = ACCOUNT.set(f"a{n}")
        logging.getLogger("bulkupdate").warning("the server is down")
        logging.getLogger("bulkupdate").error("no room")
        ACCOUNT.reset(before)
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "the server is down" in line]) == shown
    assert len([line for line in lines if "no room" in line]) == 40


@pytest.mark.parametrize("is_shared", [False, True])
async def test_timer_of_a_limiter_has_the_account_of_its_task(*, is_shared: bool) -> None:
    """What a timer does is done for the account whose request waits for it, if shared too."""
    alarms = Alarms() if is_shared else None
    seen: dict[str, list[str]] = {name: [] for name in NAMES}

    async def of_account(name: str) -> None:
        def next_start(now: float) -> float:
            seen[name].append(ACCOUNT.get())
            return now + 0.002 if len(seen[name]) < 4 else now

        ACCOUNT.set(name)
        await Turns(next_start, lambda _: None, lambda: None, alarms).wait()

    await asyncio.gather(*map(of_account, NAMES))
    assert seen == {name: [name] * 4 for name in NAMES}


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
