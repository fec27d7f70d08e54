"""Round trips: what they tell of requests that the server has counted."""

import pytest

from bulkupdate.engine.roundtrips import RoundTrips


def test_short_history_makes_no_round_trip_sure() -> None:
    """Nothing is taken for granted before sixty answers."""
    trips = RoundTrips()
    for number in range(59):
        trips.add(number, number + 0.1)
    assert trips.sure == 0.0
    trips.add(59, 59.1)
    assert trips.sure == pytest.approx(0.7 * 0.1 - 0.002)


def test_spread_of_the_shortest_makes_less_sure() -> None:
    """The shortest possible round trip is taken to be as far below as the fourth is above."""
    trips = RoundTrips()
    for number in range(60):
        trips.add(number, number + 0.10 + 0.01 * min(number, 3))
    assert trips.sure == pytest.approx(0.7 * (0.10 - 0.03) - 0.002)


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
