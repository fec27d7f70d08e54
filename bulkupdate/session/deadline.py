"""The deadline: its text form, and its effect on a run."""

import re
from datetime import UTC, datetime, time, timedelta

from bulkupdate import fields
from bulkupdate.errors import ConfigError, RunStoppedError, setting
from bulkupdate.journal import Ledger
from bulkupdate.models import RETRIED, Outcome
from bulkupdate.plan import Preview
from bulkupdate.session.settings import RunConfig

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}
_IN_A_WHILE = re.compile(r"\+([0-9]{1,6})(s|m|h)")
_OF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")


def deadline(text: str, now: datetime | None = None) -> datetime:
    """The moment that the text of `--deadline` stands for: aware, in this machine's time zone.

    Args:
        text: `06:00`, the next such time of this machine's clock; `+2h` or `+90m`, counted from
            now; or an ISO 8601 date-time, by this machine's clock if it has no offset.
        now: the current time, aware; None reads the clock.

    Raises:
        ConfigError: the text has none of these forms.
    """
    text, now = text.strip(), (now or datetime.now(UTC)).astimezone()
    if match := _IN_A_WHILE.fullmatch(text):
        number, unit = match.groups()
        return (now + timedelta(seconds=int(number) * _UNIT_SECONDS[unit])).astimezone()
    try:
        if match := _OF_DAY.fullmatch(text):
            hour, minute, second = (int(number or 0) for number in match.groups())
            return _next(time(hour, minute, second), now)
        return fields.iso_date_time(text).astimezone()
    except (ValueError, OverflowError):
        pass  # As for 25:00, which has the form of a time but is not one.
    raise ConfigError(f"{text!r} is not a deadline: write it as 06:00, +2h or 2026-01-31T06:00")


def _next(of_day: time, now: datetime) -> datetime:
    """The next moment with this time of day, even if the clock changes overnight."""
    today = datetime.combine(now.date(), of_day).astimezone()
    tomorrow = datetime.combine(now.date() + timedelta(days=1), of_day).astimezone()
    return today if today > now else tomorrow


def refuse_a_late_start(config: RunConfig) -> None:
    """Refuse to start if the deadline is too close.

    Raises:
        RunStoppedError: no request could start before the deadline.
    """
    if config.last_start is not None and config.last_start <= datetime.now(UTC):
        raise RunStoppedError(
            f"the deadline, {_clock(config.deadline)}, is too close: requests in flight need"
            f" {config.drain_timeout:g} s before it to end ({setting('drain_timeout')}):"
            " nothing was sent"
        )


def reason(config: RunConfig) -> str:
    """The reason for a stop by the deadline, in words."""
    return f"the deadline, {_clock(config.deadline)}, is near"


def note(config: RunConfig, preview: Preview, ledger: Ledger) -> str | None:
    """A message about the deadline at the start of a session; None without a deadline."""
    if config.last_start is None:
        return None
    text = f"no request starts after {_clock(config.last_start)} ({setting('deadline')})"
    requests = _requests_left(config, preview, ledger)
    time_left = (config.last_start - datetime.now(UTC)).total_seconds()
    if preview.seconds and time_left < preview.seconds * requests / preview.requests:
        fit = int(max(0.0, time_left) * preview.requests / preview.seconds)
        text += f": there is time for about {fit:,} of {requests:,} requests"
    return text


def _requests_left(config: RunConfig, preview: Preview, ledger: Ledger) -> int:
    """The number of requests that this session has to send, without retries."""
    counts = ledger.counts(preview.rows)
    # An unchanged row has nothing to change, or its task was as it asks. Only the second kind is
    # among the requests of the preview. Of the first, all count as settled.
    already = max(0, counts[Outcome.UNCHANGED] - preview.unchanged)
    done = counts[Outcome.UPDATED] + already
    if not config.retry_failed:
        done += sum(counts[outcome] for outcome in RETRIED)
    left = max(0, preview.requests - done)
    return left if config.first is None else min(left, config.first)


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %z}" if moment is not None else ""
