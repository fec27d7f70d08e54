"""Tests of the command `team`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import COMMAND, Serving, bulkupdate, environment, serving

#: Each starts processes.
pytestmark = pytest.mark.slow

HEADER = "userId,name,email,role,column,from,to"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Serving]:
    """A sandbox with the made-up team."""
    with serving("--rate", "none", "--unknown-id", "create") as server:
        yield server


def test_members_go_to_stdout_or_a_file(sandbox: Serving) -> None:
    """Each member has a line. stderr says how many, and of which team."""
    done = bulkupdate("team", "--rate", "none", **sandbox.environment)
    assert done.returncode == 0
    header, *members = done.stdout.splitlines()
    assert (header, len(members)) == (HEADER, 5)
    assert members[1] == (
        "usr_7087fd30fef190087,Ben Keller,ben.keller@example.com,user,"
        "assignedTo,ben.keller@example.com,usr_7087fd30fef190087"
    )
    assert done.stderr == "stdout: 5 members of Sandbox (tea_a6ba00fb0cb3cc620)\n"
    done = bulkupdate("team", "-o", "team.csv", "-q", **sandbox.environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Path("team.csv").read_text("utf-8-sig").splitlines() == [header, *members]


def test_run_takes_the_file_as_a_value_map(sandbox: Serving) -> None:
    """Edits may name owners by e-mail address with the file as value map."""
    assert bulkupdate("team", "-o", "team.csv", **sandbox.environment).returncode == 0
    Path("edits.csv").write_text("id,assignedTo\nopp_1,Ben.Keller@example.com\n")
    done = bulkupdate("run", "edits.csv", "--value-map", "team.csv", **sandbox.environment)
    assert done.returncode == 0, done.stderr
    assert '"userId":"usr_7087fd30fef190087"' in Path("edits.run/results.jsonl").read_text()


@pytest.mark.parametrize("answer", ["402", "html"])
def test_closed_team_exits_with_3(answer: str) -> None:
    """Without the team there are no members to write."""
    with serving("--rate", "none", "--closed", f"team={answer}") as server:
        done = bulkupdate("team", "-o", "team.csv", **server.environment)
    assert (done.returncode, done.stdout) == (3, "")
    assert "error: the team can't be read (" in done.stderr
    assert [*Path().iterdir()] == []


def test_closed_users_leave_ids_and_a_note() -> None:
    """An old team whose users are closed has ids alone, and that is said."""
    with serving("--rate", "none", "--team-version", "1", "--closed", "users=402") as server:
        done = bulkupdate("team", **server.environment)
    assert done.returncode == 0
    assert "names of users can't be read: only their ids work" in done.stderr
    assert done.stdout.count("usr_7087fd30fef190087") == 3
    assert "@" not in done.stdout


def test_wrong_key_and_missing_key_are_told(sandbox: Serving) -> None:
    """A refused key exits with 3, and no key at all with 2."""
    done = bulkupdate("team", LEMLIST_BASE_URL=sandbox.url, LEMLIST_API_KEY="wrong")
    assert done.returncode == 3
    assert "error: the key is refused: unauthorized: 401 The authentication" in done.stderr
    assert "wrong" not in done.stdout
    done = bulkupdate("team", LEMLIST_BASE_URL=sandbox.url)
    assert done.returncode == 2
    assert "LEMLIST_API_KEY" in done.stderr


def test_file_that_exists_is_kept_unless_overwritten(sandbox: Serving) -> None:
    """A file is replaced with --overwrite alone."""
    Path("team.csv").write_text("mine")
    done = bulkupdate("team", "-o", "team.csv", **sandbox.environment)
    assert done.returncode == 2
    assert "team.csv is there already: --overwrite replaces it" in done.stderr
    assert Path("team.csv").read_text() == "mine"
    done = bulkupdate("team", "-o", "team.csv", "--overwrite", **sandbox.environment)
    assert done.returncode == 0
    assert Path("team.csv").read_text("utf-8-sig").startswith(HEADER)


@pytest.mark.parametrize("to", ["> /dev/full", ">&-"])
def test_unwritable_stdout_exits_with_3(sandbox: Serving, to: str) -> None:
    """Members that are lost exit with 3, and a line on stderr says why."""
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} team {to}"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**sandbox.environment),
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.count("error: stdout can't be written: ") == 1
    assert "5 members" not in done.stderr


ACCOUNTS = """
[acme]
api_key_env = "ACME_KEY"
[globex]
api_key_env = "GLOBEX_KEY"
[down]
api_key_env = "DOWN_KEY"
base_url = "http://127.0.0.1:9"
"""


def test_members_of_each_account_are_written(sandbox: Serving) -> None:
    """The account is the first column. What can't be read is named, and exits with 3."""
    Path("accounts.toml").write_text(ACCOUNTS)
    keys = {"LEMLIST_BASE_URL": sandbox.url, "ACME_KEY": "sandbox", "DOWN_KEY": "d"}
    done = bulkupdate("team", "--accounts", "accounts.toml", "--rate", "none", **keys)
    header, *members = done.stdout.splitlines()
    assert (header, len(members)) == (f"account,{HEADER}", 5)
    assert {line.partition(",")[0] for line in members} == {"acme"}
    said = done.stderr.splitlines()
    assert said[:2] == [
        "stdout: 5 members of 1 account",
        "error: account 'globex': $GLOBEX_KEY is not set: set it to the API key of this account",
    ]
    assert said[2].startswith("error: account 'down': the team can't be read (")
    assert (done.returncode, len(said)) == (3, 3)


def test_one_account_is_written_and_exits_with_0(sandbox: Serving) -> None:
    """--account leaves the others out, and a file appears as without accounts."""
    Path("accounts.toml").write_text(ACCOUNTS)
    done = bulkupdate(
        "team", "--accounts", "accounts.toml", "--account", "acme", "-o", "team.csv",
        LEMLIST_BASE_URL=sandbox.url, ACME_KEY="sandbox",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "team.csv: 5 members of 1 account\n"
    assert Path("team.csv").read_text("utf-8-sig").startswith(f"account,{HEADER}\nacme,usr_")


def test_accounts_without_any_team_write_no_file(sandbox: Serving) -> None:
    """Each account has its line, and nothing is left behind."""
    Path("accounts.toml").write_text(ACCOUNTS.partition("[down]")[0])
    done = bulkupdate(
        "team", "--accounts", "accounts.toml", "-o", "team.csv",
        LEMLIST_BASE_URL=sandbox.url, ACME_KEY="wrong",
    )  # fmt: skip
    assert done.returncode == 3
    first, second = done.stderr.splitlines()
    assert first.startswith("error: account 'acme': the key is refused: unauthorized: 401 ")
    assert second.startswith("error: account 'globex': $GLOBEX_KEY is not set")
    assert not Path("team.csv").exists()


def test_old_users_are_noted_by_account() -> None:
    """Names that can't be read are noted with their account."""
    Path("accounts.toml").write_text('[acme]\napi_key_env = "LEMLIST_API_KEY"\n')
    with serving("--rate", "none", "--team-version", "1", "--closed", "users=402") as server:
        done = bulkupdate("team", "--accounts", "accounts.toml", **server.environment)
    assert done.returncode == 0
    assert done.stderr.startswith("account 'acme': names of users can't be read: only their ids")


def test_accounts_beside_a_key_file_exit_with_2() -> None:
    """A key is named in one place."""
    Path("accounts.toml").write_text(ACCOUNTS)
    for arguments, said in (
        (
            ("--accounts", "accounts.toml", "--api-key-file", "key"),
            "--accounts says where the keys",
        ),
        (("--account", "acme"), "--account is a name in the file of --accounts: give both"),
        (("--accounts", "none.toml"), "none.toml can't be read: No such file or directory"),
    ):
        done = bulkupdate("team", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {said}")
