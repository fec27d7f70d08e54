"""The share of the server's limit: it shrinks after a 429, and grows again."""

import pytest

from bulkupdate.engine.share import Share
from bulkupdate.lemlist.rate import RateLimit

RATE = RateLimit(20, 2.0)


def test_share_begins_as_the_whole_limit() -> None:
    """Without a 429, all of the limit is ours."""
    share = Share(RATE, 0.0)
    assert (share.value, share.is_part) == (20.0, False)


def test_share_shrinks_once_in_a_period() -> None:
    """Several 429s within a period shrink the share once."""
    share = Share(RATE, 0.0)
    assert [share.shrink(now, False) for now in (0.0, 0.1, 1.9, 2.0)] == [True, False, False, True]
    assert share.value == pytest.approx(20 * 0.85**2)
    assert share.is_part


def test_share_grows_more_where_room_is_left() -> None:
    """Each request that the server had room for lets the share grow faster."""
    slow, fast = Share(RATE, 0.0), Share(RATE, 0.0)
    for share in (slow, fast):
        share.shrink(0.0, False)
        share.grow(2.0)
    fast.note_room(12)
    fast.note_room(10)
    slow.grow(4.0)
    fast.grow(4.0)
    assert fast.value - slow.value == pytest.approx(0.04 * 10)


def test_share_never_leaves_its_bounds() -> None:
    """The share stays between one request and the whole limit."""
    share = Share(RATE, 0.0)
    for period in range(100):
        share.shrink(2.0 * period, False)
    assert share.value == 1.0
    for period in range(100, 200):
        share.note_room(20)
        share.grow(2.0 * period)
    assert (share.value, share.is_part) == (20.0, False)


def test_lower_limit_is_followed_at_once() -> None:
    """A lower limit counts from the first answer, a higher one from the second period on."""
    share = Share(RATE, 0.0)
    assert share.follow(20, 0.0) is False
    assert share.follow(5, 0.1) is True
    assert share.value == 5.0
    assert share.follow(40, 1.0) is False
    assert share.follow(40, 2.2) is True
    assert share.value == 40.0


def test_higher_limit_is_followed_after_a_period() -> None:
    """A higher limit counts when the lower one was last seen a whole period before."""
    share = Share(RATE, 0.0)
    share.follow(5, 1.0)
    assert [share.follow(40, now) for now in (2.9, 3.0)] == [False, True]


def test_same_limit_again_keeps_a_higher_one_away() -> None:
    """A higher limit is not believed while other answers tell the one so far."""
    share = Share(RATE, 0.0)
    for now in (0.0, 5.0):
        assert share.follow(20, now) is False
    assert [share.follow(40, now) for now in (5.5, 7.0)] == [False, True]


def test_first_limit_may_be_a_higher_one() -> None:
    """The first answer that names a limit is believed, whatever it names."""
    share = Share(RATE, 0.0)
    assert share.follow(100, 0.1) is True
    assert (share.rate, share.value) == (RateLimit(100, 2.0), 100.0)


def test_part_of_a_limit_stays_a_part() -> None:
    """A share that has shrunk does not grow because the limit does."""
    share = Share(RATE, 0.0)
    share.shrink(0.0, False)
    share.follow(40, 0.1)
    assert share.value == pytest.approx(17.0)


def test_strict_server_keeps_nearly_all_of_the_limit() -> None:
    """A 429 for which our own requests suffice costs a twentieth, and no permits."""
    share = Share(RATE, 0.0)
    share.shrink(0.0, True)
    assert share.value == pytest.approx(19.0)
    assert (share.is_part, share.is_shared, share.permits) == (True, False, 20)
    for period in range(1, 200):
        share.grow(2.0 * period)
    assert share.value == pytest.approx(19.0)


def test_strict_server_is_tried_again_after_a_while() -> None:
    """After ten minutes without a 429, the whole limit is tried again."""
    share = Share(RATE, 0.0)
    share.shrink(0.0, True)
    assert share.grow(600.0) is False
    assert share.grow(602.0) is True
    assert (share.value, share.is_part) == (20.0, False)


def test_second_429_in_a_minute_means_a_shared_key() -> None:
    """A server that refuses an even course of requests too has another client."""
    share = Share(RATE, 0.0)
    share.shrink(0.0, True)
    share.shrink(30.0, True)
    assert share.value == pytest.approx(19.0 * 0.85)
    assert share.is_shared
    assert share.permits == 16


def test_growth_says_whether_the_share_has_changed() -> None:
    """The share changes at most once a period, and not while it is whole."""
    share = Share(RATE, 0.0)
    assert share.grow(2.0) is False
    share.shrink(2.0, False)
    assert [share.grow(now) for now in (3.0, 4.0, 4.5)] == [False, True, False]
