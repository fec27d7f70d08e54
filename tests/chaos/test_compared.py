"""A short version of a compared run that is crashed while others edit, and is then undone."""

import asyncio

import pytest

from tests.chaos.compared import compared

pytestmark = pytest.mark.slow


def test_crashes_and_other_hands_lose_no_image() -> None:
    """After crashes at any instant, an undo restores every field that no other hand changed."""
    faults, events = asyncio.run(compared(8, 31, tasks=40))
    assert faults == []
    assert events["kill -9"] >= 8
    assert events["others"] > 0
