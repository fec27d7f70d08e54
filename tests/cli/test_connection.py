"""Flags that name the server and the key, or the accounts."""

import resource
from pathlib import Path

import pytest

from bulkupdate.cli.connection import ConnectionFlags

FLAGS = ConnectionFlags(base_url="http://127.0.0.1:1", api_key_file=None, proxy=False)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[int, int]]]:
    """The limits that are set."""
    found: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda *one: found.append(one))
    return found


def test_no_command_with_a_key_leaves_a_core_dump(
    limits: list[tuple[int, tuple[int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump would hold the key. Commands that only read are no exception."""
    monkeypatch.setenv("LEMLIST_API_KEY", "a-key")
    FLAGS.endpoint(1.0)
    assert limits == [(resource.RLIMIT_CORE, (0, 0))]


def test_no_command_with_accounts_leaves_a_core_dump(
    limits: list[tuple[int, tuple[int, int]]],
) -> None:
    """Their keys are read later."""
    Path("accounts.toml").write_text('[acme]\napi_key_env = "ACME_KEY"\n')
    FLAGS.accounts_in(Path("accounts.toml"), 1.0)
    assert limits == [(resource.RLIMIT_CORE, (0, 0))]
