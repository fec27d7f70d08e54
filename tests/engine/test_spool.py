"""The spool: each account's rows in the order of the input, in memory that does not grow."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkupdate.codec import replaced
from bulkupdate.engine.spool import Spool
from bulkupdate.errors import JournalError, Problem
from bulkupdate.models import Row
from tests.support.fakes import row


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "rows.spool") as one:
        yield one


def of(account: str, number: int) -> Row:
    """A row of an account."""
    return replaced(row(number, title="é" * number), account=account)


@given(st.lists(st.sampled_from(["", "acme", "globex"]), max_size=60))
def test_each_account_gets_its_own_rows_in_order(
    tmp_path_factory: pytest.TempPathFactory, accounts: list[str]
) -> None:
    """Whatever the order of the accounts, no row is missing, and none is with another account."""
    rows = [of(account, number) for number, account in enumerate(accounts, 1)]
    with Spool(tmp_path_factory.mktemp("spool") / "rows.spool") as spool:
        for one in rows:
            spool.add(one)
        spool.flush()
        for account in ("", "acme", "globex", "initech"):
            wanted = [one.number for one in rows if one.account == account]
            assert [one.number for one in spool.rows(account)] == wanted
        assert list(spool.accounts) == list(dict.fromkeys(accounts))


def test_rows_of_two_accounts_are_read_beside_each_other(spool: Spool) -> None:
    """Each lane reads at its own pace, and any number of times."""
    for number in range(1, 7):
        spool.add(of("acme" if number % 2 else "globex", number))
    spool.flush()
    both = zip(spool.rows("acme"), spool.rows("globex"), strict=True)
    assert [(a.number, b.number) for a, b in both] == [(1, 2), (3, 4), (5, 6)]
    assert [one.number for one in spool.rows("acme")] == [1, 3, 5]


def test_every_field_comes_back(spool: Spool) -> None:
    """An invalid row too, and bytes that are no text."""
    invalid = Row(2, 3, "opp_2", None, (Problem("id", "'x'", "is wrong"),), ("opp_2", "\udc80"))
    valid = replaced(of("acme", 1), expect={"title": ""}, rule="R", shape=("id", "title"))
    for one in (valid, invalid):
        spool.add(one)
    spool.flush()
    (first,), (second,) = spool.rows("acme"), spool.rows("")
    assert msgspec.to_builtins(first) == msgspec.to_builtins(valid)
    assert second == invalid


def test_file_has_no_name(spool: Spool, tmp_path: Path) -> None:
    """A crash leaves nothing behind."""
    spool.add(of("acme", 1))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No row is lost silently."""
    descriptor = os.open("/dev/full", os.O_RDWR)

    def full(path: Path, *_: int) -> int:
        path.symlink_to("/dev/null")
        return descriptor

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        spool = Spool(tmp_path / "rows.spool")
    spool.add(of("acme", 1))
    with pytest.raises(JournalError, match="rows can't be stored on disk: No space left"):
        spool.flush()
    with pytest.raises(JournalError):
        spool.close()
