"""When a run is to be over: what `--deadline` says, and what it means for a run."""

import re
from datetime import UTC, datetime, time, timedelta

from bulkupdate.errors import ConfigError, RunStoppedError, setting
from bulkupdate.journal import Ledger
from bulkupdate.models import Outcome
from bulkupdate.plan import Preview
from bulkupdate.session.settings import RunConfig

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}
_IN_A_WHILE = re.compile(r"\+([0-9]{1,6})(s|m|h)")
_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:.*")


def deadline(text: str, now: datetime | None = None) -> datetime:
    """When `--deadline` has a run end: aware, in this machine's time zone.

    Args:
        text: `06:00`, the next time that this machine's clock says so; `+2h`, `+90m`, from now on;
            or an ISO 8601 date-time, by this machine's clock where it has no offset.
        now: aware; the present where it is None.

    Raises:
        ConfigError: it is none of these.
    """
    text, now = text.strip(), (now or datetime.now(UTC)).astimezone()
    if match := _IN_A_WHILE.fullmatch(text):
        number, unit = match.groups()
        return (now + timedelta(seconds=int(number) * _UNIT_SECONDS[unit])).astimezone()
    try:
        if match := _OF_DAY.fullmatch(text):
            hour, minute, second = (int(number or 0) for number in match.groups())
            return _next(time(hour, minute, second), now)
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        pass  # Like 25:00: it looks like one, and is none.
    raise ConfigError(f"{text!r} is no deadline: write it as 06:00, +2h or 2026-01-31T06:00")


def _next(of_day: time, now: datetime) -> datetime:
    """The next time that the clock says so, even where it is set at night."""
    today = datetime.combine(now.date(), of_day).astimezone()
    tomorrow = datetime.combine(now.date() + timedelta(days=1), of_day).astimezone()
    return today if today > now else tomorrow


def refuse_a_late_start(config: RunConfig) -> None:
    """See that there is time to send anything.

    Raises:
        RunStoppedError: there is none.
    """
    if config.last_start is not None and config.last_start <= datetime.now(UTC):
        raise RunStoppedError(
            f"the deadline, {_clock(config.deadline)}, leaves no time, since requests in flight"
            f" get {config.drain_timeout:g} s to end before it ({setting('drain_timeout')}):"
            " nothing was sent"
        )


def reason(config: RunConfig) -> str:
    """Why a run stops that its deadline stops."""
    return f"the deadline, {_clock(config.deadline)}, is near"


def note(config: RunConfig, preview: Preview, ledger: Ledger) -> str | None:
    """What the deadline means for a session that begins, for a person to read."""
    if config.last_start is None:
        return None
    text = f"no request starts after {_clock(config.last_start)} ({setting('deadline')})"
    requests = _requests_left(config, preview, ledger)
    time_left = (config.last_start - datetime.now(UTC)).total_seconds()
    if preview.seconds and time_left < preview.seconds * requests / preview.requests:
        fit = int(max(0.0, time_left) * preview.requests / preview.seconds)
        text += f": there is time for some {fit:,} of {requests:,}"
    return text


def _requests_left(config: RunConfig, preview: Preview, ledger: Ledger) -> int:
    """Requests that this session is to send, retries left out."""
    done = {Outcome.UPDATED}
    if not config.retry_failed:
        done |= {Outcome.FAILED, Outcome.UNCONFIRMED}
    counts = ledger.counts(preview.rows)
    left = max(0, preview.requests - sum(counts[outcome] for outcome in done))
    return left if config.first is None else min(left, config.first)


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %z}" if moment is not None else ""
