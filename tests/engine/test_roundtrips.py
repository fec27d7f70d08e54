"""Round trips: what they tell of requests that the server has counted."""

import pytest

from bulkupdate.engine.roundtrips import RoundTrips


def test_short_history_makes_no_round_trip_sure() -> None:
    """Nothing is taken for granted before a hundred answers."""
    trips = RoundTrips()
    for number in range(99):
        trips.add(number, number + 0.1)
    assert trips.sure == 0.0
    trips.add(99, 99.1)
    assert trips.sure == pytest.approx(0.7 * 0.1 - 0.002)


def test_spread_of_the_shortest_makes_less_sure() -> None:
    """The shortest possible round trip is taken to be as far below as the fourth is above."""
    trips = RoundTrips()
    for number in range(100):
        trips.add(number, number + 0.20 + 0.01 * min(number, 7))
    assert trips.sure == pytest.approx(0.7 * (0.20 - 0.07) - 0.002)


def test_requests_are_counted_by_their_times() -> None:
    """A request lies surely between two moments if it was sent and answered between them."""
    trips = RoundTrips()
    for sent in (1.0, 2.0, 3.0):
        trips.add(sent, sent + 0.5)
    assert trips.surely_between(0.5, 3.2) == 2
    assert trips.surely_between(1.0, 9.0) == 2
    assert trips.answered_since(2.5) == 2
    assert trips.mean == pytest.approx(0.5)


def test_old_requests_are_forgotten() -> None:
    """Requests that were answered before a moment count no more, except in the number of all."""
    trips = RoundTrips()
    for sent in range(10):
        trips.add(sent, sent + 0.5)
    trips.forget(8.0)
    assert trips.answered_since(0.0) == 2
    assert trips.count == 10


def test_mean_of_nothing_is_zero() -> None:
    """Before any answer there is no round trip."""
    assert RoundTrips().mean == 0.0


def test_requests_may_be_answered_out_of_turn() -> None:
    """A request that overtakes others counts like them."""
    trips = RoundTrips()
    for sent, answered in ((2.0, 2.1), (1.0, 2.2), (3.0, 3.1)):
        trips.add(sent, answered)
    assert trips.surely_between(1.5, 3.0) == 1
    assert trips.surely_between(0.5, 3.0) == 2
    trips.forget(2.15)
    assert trips.answered_since(0.0) == 2
    assert trips.surely_between(2.15, 3.5) == 1


def test_unanswered_requests_count_as_ended() -> None:
    """The server may have counted a request without an answer; nothing shows when."""
    trips = RoundTrips()
    trips.add(1.0, 1.5)
    trips.add_unanswered(2.5)
    assert (trips.ended_since(1.0), trips.answered_since(1.0)) == (2, 1)
    assert trips.ended_since(3.0) == 0
    assert trips.surely_between(0.0, 3.0) == 1
    trips.forget(3.0)
    assert trips.ended_since(0.0) == 0
