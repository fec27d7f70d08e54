"""Tests of what a run has written to a task."""

from bulkupdate.plan import Ours, wrote


def test_each_write_is_a_link_of_a_chain() -> None:
    """The chain begins with the value before the first write. The earlier map stays as it was."""
    first = wrote({}, {"title": "Old"}, {"title": "A"})
    second = wrote(first, {"title": "A"}, {"title": "B"}, at=5.0)
    assert first == {"title": Ours(["Old", "A"])}
    assert second == {"title": Ours(["Old", "A", "B"], 5.0)}
    assert wrote(second, {}, {"title": "B"}, doubt=3) == {"title": Ours(["Old", "A", "B"], 0.0, 3)}


def test_write_over_another_hand_begins_a_new_chain() -> None:
    """What was left before is gone: it was overwritten."""
    known = wrote({}, {"title": "Old"}, {"title": "A"})
    assert wrote(known, {"title": "Other"}, {"title": "B"}) == {"title": Ours(["Other", "B"])}


def test_value_that_is_not_known_begins_a_chain_with_none() -> None:
    """Lists are kept as they come back from the disk."""
    known = wrote({}, {}, {"images": ("https://a",)})
    assert known == {"images": Ours([None, ["https://a"]])}
    assert known["images"].ends_with(("https://a",))


def test_expectation_holds_where_the_value_expected_stood_before_ours() -> None:
    """The value that is found must be one of ours."""
    ours = Ours(["Old", "A", "B"])
    assert ours.holds("Old", "B")
    assert ours.holds("A", "B")
    assert not ours.holds("B", "A")
    assert not ours.holds("Old", "Other")
    assert not ours.holds("Other", "B")
