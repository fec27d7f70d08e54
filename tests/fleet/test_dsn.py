"""The DSN: it is found like a key, and never shown."""

import os
import pickle
from pathlib import Path

import pytest

from bulkupdate.errors import ConfigError
from bulkupdate.fleet.database import Database, DatabaseError
from bulkupdate.fleet.dsn import Dsn
from tests.support.postgres import Postgres

PASSWORD = "pa55word-of-the-tests"
URL = f"postgresql://ops:{PASSWORD}@127.0.0.1:1/fleet"


def test_dsn_is_never_shown() -> None:
    """Neither repr nor str nor format shows it, and it can't be pickled."""
    dsn = Dsn(URL)
    assert PASSWORD not in f"{dsn!r} {dsn} {dsn!s}"
    assert dsn.where == "127.0.0.1:1/fleet"
    assert PASSWORD in dsn.reveal()
    with pytest.raises(TypeError):
        pickle.dumps(dsn)


@pytest.mark.parametrize("wrong", [f"pa ssword={PASSWORD} x", f"postgres//{PASSWORD}", " "])
def test_wrong_dsn_is_not_quoted(wrong: str) -> None:
    """Libpq's own message quotes a wrong DSN. Ours says what one looks like."""
    with pytest.raises(ConfigError) as caught:
        Dsn(wrong)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "wrong",
    [
        f"postgresql://ops:{PASSWORD}@x@127.0.0.1/fleet",
        f"postgresql://ops:{PASSWORD}/x@127.0.0.1/fleet",
        f"postgresql://ops@127.0.0.1\npostgresql://ops:{PASSWORD}@c",
        "postgresql://ops@127.0.0.1:5651x/fleet",
    ],
)
def test_sign_in_a_password_is_named_and_not_shown(wrong: str) -> None:
    """Libpq takes @, / and # for ends of the password. No part of it is taken for a host."""
    with pytest.raises(ConfigError) as caught:
        Dsn(wrong)
    assert PASSWORD not in str(caught.value)


def test_pipe_is_no_file_of_a_dsn(tmp_path: Path) -> None:
    """A named pipe would wait for a writer for ever."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        Dsn.find(tmp_path / "pipe", {})


def test_dsn_in_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A file with a DSN has the rules of a file with a key."""
    path = tmp_path / "dsn"
    path.write_text(URL + "\n")
    path.chmod(0o600)
    assert Dsn.find(path, {}).reveal() == Dsn(URL).reveal()
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Dsn.find(path, {})


def test_dsn_of_the_environment() -> None:
    """The variable is taken without a file; without either, the message names both."""
    assert Dsn.find(None, {"BULKUPDATE_FLEET_DSN": URL}).where == "127.0.0.1:1/fleet"
    with pytest.raises(ConfigError, match="BULKUPDATE_FLEET_DSN"):
        Dsn.find(None, {})


def test_own_settings_of_a_dsn_count() -> None:
    """Time limits that the DSN sets are kept."""
    assert "connect_timeout=9" in Dsn(f"{URL}?connect_timeout=9").reveal()


@pytest.mark.slow
async def test_errors_of_the_database_hide_the_password(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """Errors, their causes and the logs of libraries never hold the password."""
    wrong = Dsn(postgres.new().replace("tests@", f"nobody_{PASSWORD}:{PASSWORD}@"))
    async with Database(wrong) as database:
        with pytest.raises(DatabaseError) as caught:
            await database.rows("SELECT 1")
    texts = []
    error: BaseException | None = caught.value
    while error is not None:
        texts.append(f"{error!r}")
        error = error.__cause__
    assert PASSWORD not in "".join(texts) + caplog.text
    assert caught.value.is_refused


async def test_database_that_is_away_may_come_back(postgres: Postgres) -> None:
    """A connection that breaks is an outage, and the next statement has another one."""
    async with Database(Dsn(postgres.new())) as database:
        ((name,),) = await database.rows("SELECT current_database()")
        async with Database(Dsn(postgres.dsn())) as other:
            await other.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
        with pytest.raises(DatabaseError) as caught:
            await database.rows("SELECT 1")
        assert caught.value.is_away
        assert await database.rows("SELECT 1") == [(1,)]
