"""The server's window, as its answers show it."""

import math

import pytest

from bulkupdate.engine.roundtrips import ROUNDING
from bulkupdate.engine.window import ServerWindow
from bulkupdate.lemlist.rate import RateLimit


def known_window() -> ServerWindow:
    """A window that is believed in."""
    window = ServerWindow()
    for _ in range(3):
        window.contradict_sliding_log()
    return window


def test_window_needs_three_contradictions() -> None:
    """Two answers that contradict a sliding log may be chance."""
    window = ServerWindow()
    window.learn(9.9, 10.0, 1.5, 2.0)
    for _ in range(2):
        window.contradict_sliding_log()
    assert window.opens == math.inf
    window.contradict_sliding_log()
    assert window.opens == pytest.approx(11.5 + ROUNDING)


def test_quickest_answer_tells_the_end() -> None:
    """Of several answers about one window, the earliest end is nearest to the truth."""
    window = known_window()
    window.learn(9.9, 10.0, 1.5, 2.0)
    window.learn(10.2, 10.3, 1.1, 2.0)
    window.learn(10.4, 10.5, 1.2, 2.0)
    assert window.opens == pytest.approx(11.4 + ROUNDING)


def test_window_with_little_left_is_none() -> None:
    """A token bucket names the time to its next token, which is the end of no window."""
    window = known_window()
    for retry_after in (0.1, 1.0):
        window.learn(9.9, 10.0, retry_after, 2.0)
        assert window.opens == math.inf


def test_window_is_used_once() -> None:
    """The permits of a window come back once; the next window brings new ones."""
    window = known_window()
    window.learn(9.9, 10.0, 1.5, 2.0)
    window.use()
    assert window.opens == math.inf
    window.learn(11.9, 12.0, 1.6, 2.0)
    assert window.opens == pytest.approx(13.6 + ROUNDING)


def test_first_answer_of_a_newer_window_tells_its_end() -> None:
    """Without a fractional Retry-After, a window ends a period after its first answer at most."""
    window = known_window()
    window.begin(10.0, 10.2, 2.0)
    assert window.opens == pytest.approx(12.2 + ROUNDING)
    assert window.since < 10.0
    assert not window.has_ended(before=12.1)
    assert window.has_ended(before=12.2)


def test_third_contradiction_makes_windows_known() -> None:
    """The caller learns when the server is known to count in windows."""
    window = ServerWindow()
    assert [window.contradict_sliding_log() for _ in range(4)] == [False, False, True, False]
    assert window.is_known


RATE = RateLimit(20, 2)


def drained(window: ServerWindow, times: int, *, later: float = 1.0) -> list[bool]:
    """Show that no room was left and, so many seconds later, nearly all of it, several times."""
    found = []
    for number in range(times):
        at = 10.0 + 3 * number
        window.contradict_bucket(at, at + 0.1, 0, RATE)
        found.append(window.contradict_bucket(at + later, at + later + 0.1, 19, RATE))
    return found


def test_room_that_comes_back_at_once_is_that_of_a_window() -> None:
    """A bucket fills at its rate. The caller learns when it is none."""
    window = known_window()
    assert drained(window, 4, later=0.7) == [False, False, True, False]
    assert window.is_rough
    unknown = ServerWindow()
    drained(unknown, 4, later=0.7)
    assert not unknown.is_rough


def test_room_that_a_bucket_may_fill_shows_no_window() -> None:
    """As much room as comes back in the time is no evidence, be there many answers or few."""
    window = known_window()
    drained(window, 9, later=1.7)
    assert not window.is_rough
    for number in range(40):
        # The server has counted them in another order than they were answered in.
        for remaining in (3, 7, 12):
            window.contradict_bucket(
                50.0 + number, 50.1 + number + remaining / 100, remaining, RATE
            )
    assert not window.is_rough


def test_least_room_counts_for_a_period() -> None:
    """Answers with more room come in between: the least one is compared, unless it is old."""
    window = known_window()
    for number in range(3):
        at = 10.0 + 3 * number
        for later, remaining in ((0.0, 0), (0.05, 4), (0.7, 19)):
            window.contradict_bucket(at + later, at + later + 0.01, remaining, RATE)
    assert window.is_rough


def test_window_that_tells_its_end_is_not_rough() -> None:
    """With a fraction, each answer tells the end."""
    window = known_window()
    drained(window, 3, later=0.7)
    assert window.is_rough
    assert window.learn(30.0, 30.1, 1.5, 2.0)
    assert not window.is_rough
    assert not window.learn(30.1, 30.2, 1.4, 2.0)


def test_refusal_ends_the_trust_in_a_window() -> None:
    """A bucket that is filled in steps looks like a window, until it refuses."""
    window = known_window()
    drained(window, 3, later=0.7)
    window.distrust()
    assert not window.is_rough
    drained(window, 9, later=0.7)
    assert not window.is_rough


def test_late_answer_from_an_old_window_changes_nothing() -> None:
    """An answer that comes after the next window has begun tells nothing about the new one."""
    window = known_window()
    window.learn(10.0, 10.1, 1.9, 2.0)
    window.learn(12.1, 12.2, 1.9, 2.0)
    window.learn(11.9, 12.5, 0.1, 2.0)
    assert window.opens == pytest.approx(14.1 + ROUNDING)
    window.learn(12.1, 12.5, 1.5, 2.0)
    assert window.opens == pytest.approx(14.0 + ROUNDING)
