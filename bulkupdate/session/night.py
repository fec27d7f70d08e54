"""A night: what rules make of the live tasks at one moment, as a file of edits.

::

    rules, team, live tasks ──▶ evaluation ──▶ edits.jsonl ──▶ a run of that file

From then on it is a run like any other. `--resume` evaluates no rule.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bulkupdate.context import ACCOUNT
from bulkupdate.errors import (
    InputError,
    RunDirectoryError,
    RunStoppedError,
    count,
    setting,
)
from bulkupdate.fields import suggestion
from bulkupdate.journal import RunDirectory, Summary
from bulkupdate.lemlist.accounts import Accounts
from bulkupdate.lemlist.http import clean
from bulkupdate.lemlist.team import Campaign, Sender
from bulkupdate.lemlist.values import TASK_NAMES
from bulkupdate.models import Reason, Task
from bulkupdate.plan import LiveTasks, People
from bulkupdate.plan.rules import EVERY, Evaluation, Rules, evaluate, read_rules
from bulkupdate.reader import Edit, EditsFile, Format, RawFile
from bulkupdate.session.editsfile import write_edits
from bulkupdate.session.listed import moved, refuse_few
from bulkupdate.session.part import Part
from bulkupdate.session.reading import LiveReader, live_reader
from bulkupdate.session.settings import RunConfig
from bulkupdate.session.threads import in_thread
from bulkupdate.stop import Stop

#: Tasks between two looks at the stop.
_BATCH = 256

#: Number of campaigns that a message names.
_SHOWN = 5

#: Accounts whose tasks are read at the same time.
_SIDE_BY_SIDE = 64

#: Most seconds that the night of several accounts waits for one that is down, or that asks for a
#: pause. It is left out then.
PATIENCE = 30.0

#: Seconds between two looks at whether an account is paused.
_LOOK = 1.0

#: Most bytes of a file of rules.
_LARGEST = 1 << 20


class Night(NamedTuple):
    """The rules of a run, and the moment at which they are evaluated.

    Attributes:
        rules: the rules.
        now: the moment, aware.
        edits: the file of edits that they have made, or will make.
    """

    rules: Rules
    now: datetime
    edits: Path

    @property
    def day(self) -> str:
        """The day, in the time zone of the rules."""
        return f"{self.now.astimezone(self.rules.zone):%Y-%m-%d} ({self.rules.timezone})"


def load_rules(path: Path) -> Rules:
    """Read a file of rules.

    Raises:
        InputError: it can't be read, or something in it is wrong. All of that is in the message.
    """
    with contextlib.closing(RawFile.open(path, str(path))):
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST + 1)
        except OSError as error:
            raise InputError(f"{path} can't be read: {error.strerror}") from error
    if len(text) > _LARGEST:
        raise InputError(f"{path} has more than a megabyte: it is no file of rules")
    return read_rules(path, text)


def night_of(
    config: RunConfig, rules: Rules, directory: RunDirectory, earlier: Summary | None
) -> Night:
    """The night of a run. That of a run that is resumed is the one on which it began.

    Raises:
        RunDirectoryError: the run began on an earlier day, or its edits are gone.
    """
    now = config.read.now or datetime.now(UTC)
    if earlier is None:
        return Night(rules, now, directory.files.edits_part)
    began = datetime.fromisoformat(earlier.input.now) if earlier.input.now else now
    night = Night(rules, began, directory.files.edits)
    if night.day != (today := night._replace(now=now).day):
        raise RunDirectoryError(
            f"the run in {directory.path} is of {night.day}, and it is {today}: its rows are of"
            f" another day. Start the new night with another directory: {setting('out')}"
        )
    if not night.edits.exists():
        raise RunDirectoryError(
            f"{night.edits} is missing, so that the run can't go on: start a new one with another"
            f" directory: {setting('out')}"
        )
    return night


async def evaluated(
    rules: Rules,
    reader: LiveReader,
    live: LiveTasks,
    now: datetime,
    stop: Stop,
    *,
    listed: int | None,
    allow_few: bool,
    accept_many: bool,
    on_page: Callable[[int], object] = lambda _: None,
) -> tuple[Evaluation, People]:
    """Read the team and all tasks, and evaluate rules on them.

    The senders of running campaigns are asked for too where a rule takes tasks from people: their
    campaigns would go on making tasks for them. That they can't be read is only a remark.

    Args:
        rules: the rules.
        reader: reads the team and the tasks.
        live: gets the tasks.
        now: the moment.
        stop: ends the reading.
        listed: number of tasks that the night before has seen; None without one.
        allow_few: whether a list with no task, or with less than half of these, is no error.
        accept_many: whether a rule may select more than half of the tasks without `max_changes`.
        on_page: is called with the number of tasks so far, after each page.

    Raises:
        InputError: the rules can't be followed; see `bulkupdate.plan.rules.evaluate`.
        RunStoppedError: the team or the tasks can't be read, or a stop came.
        JournalError: the live tasks can't be stored.
    """
    known = await reader.known(is_needed=True)
    if known.members is None:
        raise InputError(f"{rules.name}: rules need the members of the team: {known.note}")
    async for _ in reader.tasks(live):
        on_page(live.listed)
    if not allow_few:
        # What is selected from half a list would be wrong.
        refuse_few(live.listed, listed, stop)
    people = People(known.members, live.owners)

    def work() -> Evaluation:
        return evaluate(rules, lambda: _until(stop, live), people, now, accept_many=accept_many)

    evaluation = await in_thread(stop, work)
    evaluation.remarks += moved(live)
    if evaluation.givers:
        senders, note = await reader.senders()
        evaluation.remarks += [note] if note else going_on(evaluation, senders, people)
    return evaluation, people


def going_on(evaluation: Evaluation, senders: Iterable[Sender], people: People) -> list[str]:
    """The running campaigns that go on making tasks for people whose tasks go to others, in words.

    Args:
        evaluation: what the rules do.
        senders: the senders of running campaigns.
        people: the members of the team.
    """
    campaigns = {sender.user_id: sender.campaigns for sender in senders}
    return [
        f"rule {rule!r}: {_going_on(campaigns[user_id])} making tasks for {people.shown(user_id)}:"
        f" {_named(campaigns[user_id])}"
        for rule, givers in evaluation.givers.items()
        for user_id in sorted(givers & campaigns.keys())
    ]


def _going_on(campaigns: Sequence[Campaign]) -> str:
    running = count(len(campaigns), "running campaign")
    return f"{running} {'goes' if len(campaigns) == 1 else 'go'} on"


def _named(campaigns: Sequence[Campaign]) -> str:
    named = [clean(one.name) or one.id or "one without a name" for one in campaigns]
    return ", ".join([*named[:_SHOWN], *["…"][: len(named) > _SHOWN]])


def _until(stop: Stop, live: LiveTasks) -> Iterator[Task]:
    """The live tasks, as long as there is no stop."""
    for number, task in enumerate(live):
        if not number % _BATCH:
            stop.check()
        yield task


def rules_by_account(
    rules: Rules, accounts: Accounts | None, account: str | None
) -> dict[str, Rules]:
    """The rules of each account that they are about; of "" in a run with one key.

    Args:
        rules: the rules.
        accounts: the accounts; None in a run with one key.
        account: the account of all rules; None where they name their own.

    Raises:
        InputError: a rule names an account and there are none, or names none where there are some;
            or one that is unknown, or that is only read.
    """
    problems = [*_wrong_accounts(rules, accounts, account)]
    if problems:
        raise InputError("\n".join(f"{rules.name}, {problem}" for problem in problems))
    if accounts is None:
        return {"": rules}
    if account is not None:
        return {account: rules}
    # `*` is for all accounts that may be changed.
    of_each = {name: rules.of(name) for name, one in accounts.items() if not one.read_only}
    return {name: found for name, found in of_each.items() if found.rules}


def _wrong_accounts(rules: Rules, accounts: Accounts | None, account: str | None) -> Iterator[str]:
    for rule in rules.rules:
        if accounts is None or account is not None:
            if rule.accounts:
                said = setting("accounts") if accounts is None else f"and {setting('account')}"
                why = f"set {said}" if accounts is None else f"{said} name accounts: leave one out"
                yield f"{rule.accounts[0].where}: {why}"
                return
            continue
        if not rule.accounts:
            yield (
                f'rule {rule.number}: names no account: write account = "{EVERY}" at the top for'
                f" all accounts, or set {setting('account')}"
            )
        for named in rule.accounts:
            if named.text == EVERY:
                continue
            if named.text not in accounts:
                near = suggestion(named.text, accounts)
                yield f"{named.where}: {named.text!r} is no account{near}"
            elif accounts[named.text].read_only:
                yield f"{named.where}: {named.text!r} is read_only, and the rule would change it"


def write_night(
    evaluations: Mapping[str, Evaluation], path: Path, *, has_accounts: bool = False
) -> EditsFile:
    """Write the edits of a night, with what they expect and the rule of each.

    Args:
        evaluations: what the rules do, by account; "" in a run with one key.
        path: the file.
        has_accounts: whether rows name their accounts.

    Returns:
        What was written, with the edits that no file can hold.

    Raises:
        JournalError: it can't be written, or does not read back as what was written.
    """
    names = (*TASK_NAMES, "done", "images", "videos")
    file = EditsFile(
        Format.JSONL,
        names,
        ("rule",),
        expected=(*TASK_NAMES, "done"),
        is_whole=True,
        has_accounts=has_accounts,
    )
    edits = (
        Edit(one.id, one.changes, {"rule": one.rule}, one.expect, account)
        for account, evaluation in evaluations.items()
        for one in evaluation.edits
    )
    write_edits(file, path, edits)
    return file


async def begin_night(
    night: Night,
    config: RunConfig,
    directory: RunDirectory,
    parts: Mapping[str, Part],
    stop: Stop,
    note: Callable[[str], object],
) -> None:
    """Evaluate the rules of a run that begins, and write its edits to the run directory.

    An account for which this can't be done is left out, and its part stops; in a run with one key,
    the run does not begin.

    Args:
        night: the night.
        config: the settings of the run.
        directory: the run directory.
        parts: the parts of the run that rules are about. Each is told how many tasks the server
            lists.
        stop: the stop of the run.
        note: takes messages for the user.

    Raises:
        InputError: the rules can't be followed, for any account.
        RunStoppedError: the team or the tasks can't be read, or a stop came.
        JournalError: the edits can't be written.
    """
    rules = rules_by_account(night.rules, config.accounts, config.account)
    side_by_side = asyncio.Semaphore(_SIDE_BY_SIDE)
    if len(parts) > 1:
        # One that is down must not keep the others waiting.
        patience = min(config.retry.give_up_after, PATIENCE)
        config = replace(config, retry=replace(config.retry, give_up_after=patience))
    evaluations: dict[str, Evaluation] = {}
    refused: dict[str, str] = {}

    async def one(name: str, part: Part) -> None:
        async with side_by_side:
            ACCOUNT.set(name)
            try:
                evaluating = _evaluated(night, rules[name], config, directory, part)
                if len(parts) > 1:
                    evaluations[name] = await _unless_paused(evaluating, part)
                else:
                    evaluations[name] = await evaluating
            except (InputError, RunStoppedError) as error:
                if not name:
                    raise
                if isinstance(error, InputError):
                    refused[name] = str(error)
                    part.stop.set("; ".join(str(error).splitlines()), Reason.RULES_REFUSED)

    try:
        async with asyncio.TaskGroup() as group:
            for name, part in parts.items():
                group.create_task(one(name, part))
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    stop.check()
    if refused and len(refused) == len(parts):
        raise InputError("\n".join(f"{name}: {refused[name]}" for name in parts))
    in_order = {name: evaluations[name] for name in parts if name in evaluations}
    for text in _told(in_order):
        note(text)
    path = directory.new_edits()
    has_accounts = config.accounts is not None
    writing = asyncio.to_thread(write_night, in_order, path, has_accounts=has_accounts)
    for text in not_written(await writing):
        note(text)


async def _unless_paused(evaluating: Coroutine[Any, Any, Evaluation], part: Part) -> Evaluation:
    """Wait for an evaluation, but not for a server that asks for a long pause.

    Raises:
        InputError: the rules can't be followed.
        RunStoppedError: the team or the tasks can't be read in time.
    """
    task, paused = asyncio.ensure_future(evaluating), 0.0
    try:
        while not (await asyncio.wait([task], timeout=_LOOK))[0]:
            paused = paused + _LOOK if part.limiter.waiting_for else 0.0
            if paused >= PATIENCE:
                text = f"its tasks can't be read: {part.limiter.waiting_for}"
                part.stop.set(text, Reason.RATE_LIMITED)
                raise RunStoppedError(text)
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _evaluated(
    night: Night, rules: Rules, config: RunConfig, directory: RunDirectory, part: Part
) -> Evaluation:
    """Evaluate the rules of one account."""
    with contextlib.closing(LiveTasks(directory.files.live)) as live:
        async with live_reader(
            part.endpoint, config.rate, config.retry, part.stop, part.limiter
        ) as reader:
            evaluation, _ = await evaluated(
                rules,
                reader,
                live,
                night.now,
                part.stop,
                listed=part.listed,
                allow_few=config.allow_few,
                accept_many=config.yes,
            )
        part.listed = live.listed
    return evaluation


def selected_lines(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """What the rules select and change over all accounts.

    Args:
        evaluations: name of an account, "" in a run with one key → the evaluation of its rules.
    """
    selected: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    accounts: Counter[str] = Counter()
    for evaluation in evaluations.values():
        selected.update(evaluation.selected)
        changed.update(evaluation.changed)
        accounts.update(evaluation.selected.keys())
    has_accounts = "" not in evaluations
    for name, number in selected.items():
        of = f" of {count(accounts[name], 'account')}" if has_accounts else ""
        yield f"rule {name!r}: selects {count(number, 'task')}{of}, changes {changed[name]:,}"


def _told(evaluations: Mapping[str, Evaluation]) -> Iterator[str]:
    """What the rules select and change, and what is to be said of each account."""
    yield from selected_lines(evaluations)
    for account, evaluation in evaluations.items():
        for text in evaluation.notes:
            yield f"{account}: {text}" if account else text


def not_written(file: EditsFile) -> list[str]:
    """What a night could not write, in words."""
    found = (one for one in (file.left_out, file.unwritable) if one.counts)
    return [f"left out, since a file of edits can't hold their values: {one}" for one in found]
