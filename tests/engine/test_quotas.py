"""What is believed of a quota."""

import pytest

from bulkupdate.engine.quotas import HIGHEST_LIMIT, Believed
from bulkupdate.lemlist.answer import Quota
from bulkupdate.lemlist.rate import RateLimit

RATE = RateLimit(20, 2.0)


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        (Quota(20, 3, 1.5), Quota(20, 3, 1.5)),
        (Quota(0, 3, 1.5), Quota(None, 3, 1.5)),
        (Quota(1, 1, 1.5), Quota(1, 1, 1.5)),
        (Quota(19.5, 3, 1.5), Quota(None, 3, 1.5)),
        (Quota(HIGHEST_LIMIT + 1, 3, 1.5), Quota(None, 3, 1.5)),
        (Quota(20, 21, 1.5), Quota(20, None, 1.5)),
        (Quota(None, HIGHEST_LIMIT + 1, None), Quota(None, None, None)),
    ],
)
def test_impossible_numbers_are_not_believed(told: Quota, believed: Quota) -> None:
    """A limit that can't be true, and more room than the limit, are taken out."""
    assert Believed().quota(told, RATE, may_be_silent=False) == believed


def test_each_oddity_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A server that repeats an odd header does not fill the log."""
    believed = Believed()
    for _ in range(3):
        believed.quota(Quota(0, 500), RATE, may_be_silent=False)
        believed.quota(Quota(), RATE, may_be_silent=False)
    assert len(caplog.records) == 2
    assert "X-RateLimit-Limit is 0: no request at all: keeping to 20/2s" in caplog.text
    assert "answers do not name the limit: keeping to 20/2s" in caplog.text


@pytest.mark.parametrize(
    ("limit", "why"),
    [(0, "no request at all"), (19.5, "not a whole number"), (100_001, "more than 100,000")],
)
def test_limit_that_is_not_followed_is_explained(
    limit: float, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why an announced limit is not followed, and which one is kept."""
    Believed().quota(Quota(limit), RATE, may_be_silent=False)
    assert f"X-RateLimit-Limit is {limit}: {why}: keeping to 20/2s" in caplog.text


def test_limit_of_thousands_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    """A limit above a thousand is no mistake."""
    told = Quota(5000, 4999, 1.5)
    assert Believed().quota(told, RATE, may_be_silent=False) == told
    assert caplog.records == []


def test_silence_is_no_oddity_where_expected(caplog: pytest.LogCaptureFixture) -> None:
    """A 429, or an answer after one that named the limit, may leave the limit out."""
    Believed().quota(Quota(), RATE, may_be_silent=True)
    assert caplog.records == []
