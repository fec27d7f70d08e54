"""The parts of a run: one in a run with one key, and one for each account in a run with accounts.

Before a run with accounts sends anything, it asks each key for its team: another team than before
stops that part, and two accounts of one team are refused, since two lanes would keep no order
between rows of one task.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from bulkupdate.codec import replaced
from bulkupdate.context import ACCOUNT
from bulkupdate.engine.permits import limiter_for
from bulkupdate.engine.turns import Alarms
from bulkupdate.errors import (
    ConfigError,
    KeyRefusedError,
    NoPermitError,
    TaskError,
    count,
    setting,
)
from bulkupdate.journal import AccountSummary, Summary
from bulkupdate.lemlist.endpoint import Endpoint
from bulkupdate.lemlist.pool import ConnectionPool
from bulkupdate.lemlist.tasks import TaskClient
from bulkupdate.lemlist.team import hash_of
from bulkupdate.models import Reason
from bulkupdate.session.binding import Binding, ask_team
from bulkupdate.session.part import Part
from bulkupdate.session.reading import Limiters
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop, StoppedError

#: Most seconds that a run waits for the teams of its accounts. One that answers later is told from
#: others then, and stops alone.
LONGEST_START = 3.0

#: Accounts that a message names.
_NAMED = 5


def parts_of(
    config: RunConfig, stop: Stop, earlier: Summary | None, limiters: Limiters | None = None
) -> dict[str, Part]:
    """The parts of a run by account; "" in a run with one key.

    Args:
        config: the settings of the run.
        stop: the stop of the run.
        earlier: the summary of the previous session if the run is resumed, else None.
        limiters: makes the limiter of an account; None for one that keeps the limit alone.
    """
    if config.accounts is None:
        binding, listed = Binding.of(earlier), earlier.listed if earlier is not None else None
        account = config.only_account
        limiter = limiter_for(config.rate) if limiters is None else limiters(account)
        return {"": Part(account, stop, limiter, binding, listed)}
    before = earlier.known_accounts if earlier is not None else {}
    parts, alarms = {}, Alarms()
    for name, account in config.accounts.items():
        known = before.get(name)
        listed = known.listed if known is not None else None
        own_stop = stop.child(ends_parent=False)
        limiter = limiter_for(config.rate, alarms=alarms) if limiters is None else limiters(account)
        parts[name] = Part(account, own_stop, limiter, Binding.of(known), listed)
        if known is not None and not known.rows and known.stopped_by is not None:
            # Its rules were not evaluated in this night, and are not evaluated later.
            own_stop.set(known.reason or "", known.stopped_by)
    return parts


def find_keys(config: RunConfig, parts: Iterable[Part], *, is_new: bool) -> None:
    """Find the key of each part that has rows.

    Args:
        config: the settings of the run.
        parts: the parts.
        is_new: whether the run begins: a wrong key refuses it. In a run that is resumed, it stops
            its own part.

    Raises:
        ConfigError: the run begins, and keys are missing, rows are of an account that is only
            read, or two accounts have the same key.
    """
    problems = []
    for part in parts:
        try:
            part.find_key()
        except ConfigError as error:
            problems.append(str(error))
            if not is_new:
                why = str(error).removeprefix(f"{part.account.label}: ")
                part.stop.set(why, Reason.NO_KEY)
    if is_new and problems:
        raise ConfigError("\n".join(problems))
    if config.accounts is None:
        return
    found: dict[str, Endpoint] = {}
    if is_new:
        found = {part.name: part.endpoint for part in parts}
        config.accounts.refuse_shared_keys(found)
        return
    for part in parts:
        if not part.stop.is_set:
            try:
                config.accounts.refuse_shared_keys({**found, part.name: part.endpoint})
            except ConfigError as error:
                part.stop.set(str(error), Reason.SAME_TEAM)
            else:
                found[part.name] = part.endpoint


def stop_for_used_keys(parts: Iterable[Part], others: Iterable[Part]) -> None:
    """Stop each part whose key is the one with which rows of another account were sent before.

    Args:
        parts: the parts that have rows left.
        others: all parts of the run.
    """
    settled = [part for part in others if part.binding.key_hash is not None]
    for part in parts:
        if part.stop.is_set:
            continue
        twins = [one.name for one in settled if one is not part and one.binding.is_of(part.key)]
        if twins:
            part.stop.set(f"its key is that of {_listed(twins)}", Reason.SAME_TEAM)


async def bind_accounts(
    config: RunConfig,
    parts: Collection[Part],
    pool: ConnectionPool,
    stop: Stop,
    others: Iterable[Part],
) -> None:
    """Ask for the team of each account, and refuse two of one team.

    An account that is in trouble keeps no other waiting for longer than `LONGEST_START`.

    Args:
        config: the settings of the run.
        parts: the parts that have rows left.
        pool: the connections.
        stop: the stop of the run. It is set where two accounts are of one team.
        others: all parts of the run. What an earlier session has sent counts too.
    """
    asking = [asyncio.create_task(_bind(part, pool)) for part in parts]
    try:
        if asking:
            await asyncio.wait(asking, timeout=LONGEST_START)
    finally:
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    for one in asking:
        if not one.cancelled():
            one.result()
    if not config.same_team and (text := _of_one_team(others)):
        stop.set(f"{text}, so that rows of one task could go out of order", Reason.SAME_TEAM)


async def _bind(part: Part, pool: ConnectionPool) -> None:
    """Bind a part to its team, if that can be read now. Stop it if its key is refused."""
    ACCOUNT.set(part.name)
    try:
        if part.has_another_key:
            return  # The part checks that by itself, before its first row, however long it takes.
        if part.binding.team is None or not part.binding.is_of(part.key):
            async with TaskClient(part.endpoint, pool=pool) as client:
                # An account in trouble must not keep the others waiting.
                team = await ask_team(client, part.limiter, part.stop, attempts=1)
            if team is not None:
                part.binding = Binding(team.id, hash_of(part.key))
    except KeyRefusedError as error:
        status = f"{error.status} " if error.status else ""
        part.stop.set(f"the key is refused: {error.type}: {status}{error}", Reason.KEY_REFUSED)
    except StoppedError:
        pass  # The stop has its reason.
    except (TaskError, NoPermitError):
        pass  # Its lane deals with that.


def stop_late_twin(part: Part, parts: Iterable[Part]) -> None:
    """Stop a part whose team has just been read, if another part is of the same team."""
    twins = [
        other.name
        for other in parts
        if other is not part and other.binding.team == part.binding.team is not None
    ]
    if twins:
        part.stop.set(
            f"its key is of the same team as that of {_listed(twins)}: {setting('same_team')}"
            " sends both, and rows of one task may go out of order",
            Reason.SAME_TEAM,
        )


def _of_one_team(parts: Iterable[Part]) -> str:
    """The accounts that are of one team, in words; "" if there are none."""
    by_team = defaultdict(list)
    for part in parts:
        if part.binding.team is not None:
            by_team[part.binding.team].append(part.name)
    texts = [
        f"{_listed(names)} are of one team ({team})"
        for team, names in by_team.items()
        if len(names) > 1
    ]
    if not texts:
        return ""
    return f"{'; '.join(texts)}: {setting('same_team')} sends them all the same"


def _listed(names: list[str]) -> str:
    shown = names[:_NAMED]
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{', '.join(shown)}{more}"


def with_bindings(first: Summary, parts: Mapping[str, Part]) -> Summary:
    """A summary with what its parts are bound to, and how many tasks they have listed."""
    if (only := parts.get("")) is not None:
        key_hash = only.binding.key_hash
        if only.listed is not None and key_hash is None:
            key_hash = hash_of(only.key)
        return replaced(first, team=only.binding.team, key_hash=key_hash, listed=only.listed)
    accounts = {name: _bound(part) for name, part in parts.items() if part.takes_part}
    idle = {
        name: replaced(one, rows=0, counts={})
        for name, one in first.known_accounts.items()
        if name not in accounts
    }
    return replaced(first, accounts=accounts, idle_accounts=idle)


def _bound(part: Part) -> AccountSummary:
    return AccountSummary(
        base_url=part.account.base_url,
        rows=part.rows,
        counts={},
        team=part.binding.team,
        key_hash=part.binding.key_hash,
        listed=part.listed,
    )


def why_stopped(parts: Collection[Part]) -> str:
    """Why some accounts have stopped before their end, in words; "" if none has."""
    reasons = [(part.name, part.why_stopped) for part in parts]
    stopped = [(name, why[0]) for name, why in reasons if why is not None]
    if not stopped:
        return ""
    named = "; ".join(f"{name}: {why}" for name, why in stopped[:_NAMED])
    more = "; …" if len(stopped) > _NAMED else ""
    return f"{count(len(stopped), 'account')} of {len(parts):,} stopped: {named}{more}"
