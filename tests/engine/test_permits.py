"""Permits: how many are free, and when the next comes back."""

import math

from bulkupdate.engine.permits import Permits


def test_permits_are_free_until_all_are_taken() -> None:
    """A permit is free as long as fewer are in use than there are."""
    permits = Permits()
    for _ in range(2):
        assert permits.free_at(2, 5.0) == 5.0
        permits.take()
    assert permits.free_at(2, 5.0) == math.inf


def test_held_permit_comes_back_at_its_moment() -> None:
    """A request that has ended keeps its permit until the moment that is named."""
    permits = Permits()
    for until in (9.0, 7.0):
        permits.take()
        permits.end()
        permits.hold(until)
    assert permits.free_at(2, 5.0) == 7.0
    assert permits.free_at(3, 5.0) == 5.0
    assert permits.free_at(2, 7.0) == 7.0
    assert permits.free_at(1, 7.0) == 9.0


def test_permit_that_is_not_held_is_free_at_once() -> None:
    """A request that the server did not count leaves its permit to the next."""
    permits = Permits()
    permits.take()
    permits.end()
    assert permits.free_at(1, 5.0) == 5.0


def test_permits_beyond_the_number_must_come_back_first() -> None:
    """Where more permits are in use than there are, one that comes back is not free."""
    permits = Permits()
    for until in (7.0, 8.0, 9.0):
        permits.take()
        permits.end()
        permits.hold(until)
    assert permits.free_at(2, 5.0) == 8.0
    assert permits.free_at(1, 5.0) == 9.0
    permits.take()
    assert permits.free_at(1, 5.0) == math.inf
