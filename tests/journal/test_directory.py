"""Tests of the run directory: its lock, and its treatment of existing files."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from bulkupdate.codec import to_json
from bulkupdate.errors import JournalError, RunDirectoryError, RunInUseError
from bulkupdate.journal.directory import Mode, RunDirectory, at_rest
from bulkupdate.journal.runfiles import RunFiles
from bulkupdate.journal.summary import Summary
from bulkupdate.models import Outcome, State
from bulkupdate.reader.info import InputInfo
from bulkupdate.reader.options import Format


def refusal(path: Path, mode: Mode = Mode.NEW) -> str:
    before = sorted(path.iterdir()) if path.is_dir() else None
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.open(path, mode)
    assert (sorted(path.iterdir()) if path.is_dir() else None) == before
    return str(caught.value)


def a_run(path: Path, has_sent: bool | None = None) -> Path:
    path.mkdir()
    info = InputInfo(path="a.csv", sha256="", rows=0, format="csv", encoding="utf-8", delimiter=",")
    counts = dict.fromkeys([*Outcome, "unprocessed"], 0)
    summary = Summary(
        version="", input=info, directory="", base_url="", started="", ended=None,
        state=State.RUNNING, reason=None, exit_code=None, counts=counts, mismatches=0, requests=0,
        retries=0, rate_limited=0, rows_per_second=0, allowed_rate=None, used_rate=0, paused=0,
        resumed=False, has_sent=has_sent,
    )  # fmt: skip
    (path / "results.jsonl").write_text("")
    (path / "summary.json").write_bytes(to_json(summary))
    return path


def test_run_directory_is_its_owners_alone(tmp_path: Path) -> None:
    """Only the owner can read the run directory and the files in it."""
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        assert directory.path.stat().st_mode & 0o777 == 0o700
        directory.adopt_stdin(directory.keep_stdin([b"id\n", b"a\n"]), Format.CSV)
    kept = tmp_path / "a.run" / "stdin.csv"
    assert kept.read_bytes() == b"id\na\n"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_edits_of_a_night_are_begun_anew(tmp_path: Path) -> None:
    """What is left of edits that were never adopted makes room for new ones."""
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        directory.new_edits().write_text("{")
        part = directory.new_edits()
        assert part.read_bytes() == b""
        assert part.stat().st_mode & 0o777 == 0o600


def test_unused_run_directory_is_removed(tmp_path: Path) -> None:
    """A new run directory that no run has used is removed when it is closed."""
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        directory.keep_stdin([b"x"])
    assert not (tmp_path / "a.run").exists()
    (tmp_path / "a.run").mkdir()
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW):
        pass
    assert (tmp_path / "a.run").is_dir(), "the user made it"


def test_existing_run_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    """An existing run is refused, and the message names the ways to continue."""
    message = refusal(a_run(tmp_path / "a.run"))
    assert all(flag in message for flag in ("Mode.RESUME", "Mode.OVERWRITE", "out"))


def test_resuming_begins_where_there_is_no_run(tmp_path: Path) -> None:
    """Resuming begins a run where the directory is missing or empty."""
    for _ in range(2):
        with RunDirectory.open(tmp_path / "a.run", Mode.RESUME) as directory:
            assert directory.mode is Mode.NEW
        (tmp_path / "a.run").mkdir(exist_ok=True)


@pytest.mark.parametrize("mode", [Mode.NEW, Mode.RESUME])
def test_run_that_sent_nothing_begins_again(tmp_path: Path, mode: Mode) -> None:
    """A run that has sent nothing needs no flag to begin again."""
    path = a_run(tmp_path / "a.run", has_sent=False)
    with RunDirectory.open(path, mode) as directory:
        assert directory.mode is Mode.OVERWRITE


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("name", ["results.jsonl", "rows.digest", "failed.csv"])
def test_run_without_its_summary_is_named_as_such(tmp_path: Path, mode: Mode, name: str) -> None:
    """A run whose summary is gone is told apart from a foreign directory."""
    path = a_run(tmp_path / "a.run")
    for file in path.iterdir():
        file.unlink()
    (path / name).write_text("")
    assert f"holds {name} and no summary.json" in refusal(path, mode)


@pytest.mark.parametrize("mode", list(Mode))
def test_directory_with_other_content_is_refused(tmp_path: Path, mode: Mode) -> None:
    """A directory that holds other files is refused in every mode and stays unchanged."""
    (tmp_path / "photos").mkdir()
    for name in ("cat.jpg", "stdin.part"):
        (tmp_path / "photos" / name).write_text("")
    assert "holds other files" in refusal(tmp_path / "photos", mode)


def test_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    """A path that is a file, or whose parent is missing or a file, is refused."""
    (tmp_path / "file").write_text("x")
    assert "can't be used" in refusal(tmp_path / "file")
    assert "no such directory" in refusal(tmp_path / "none" / "a.run")
    assert "can't be created" in refusal(tmp_path / "file" / "a.run")


def test_directory_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its rights can't be changed, it is not certain who reads it."""

    def chmod(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(Path, "chmod", chmod)
    assert refusal(tmp_path / "theirs").endswith("theirs can't be used: Operation not permitted")


def test_overwriting_removes_only_the_runs_files(tmp_path: Path) -> None:
    """Overwriting removes the files of the run and leaves every other file."""
    path = a_run(tmp_path / "a.run")
    (path / "notes.txt").write_text("mine")
    with RunDirectory.open(path, Mode.OVERWRITE) as directory:
        assert (path / "results.jsonl").exists()
        directory.clear()
    assert [file.name for file in path.iterdir()] == ["notes.txt"]


def test_directory_in_use_is_refused_until_freed(tmp_path: Path) -> None:
    """A run directory in use is refused, and is free again once it is closed."""
    path = a_run(tmp_path / "a.run")
    with RunDirectory.open(path, Mode.RESUME):
        assert "in use by another run" in refusal(path, Mode.RESUME)
    RunDirectory.open(path, Mode.RESUME).close()


def test_directory_that_can_not_be_locked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says that the file system has no locks."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    path = a_run(tmp_path / "a.run")
    monkeypatch.setattr("fcntl.flock", no_locks)
    assert f"{path} can't be locked: No locks available" in refusal(path, Mode.RESUME)


def test_link_in_run_directory_is_refused(tmp_path: Path) -> None:
    """A run directory in which a file is a link is refused."""
    path = a_run(tmp_path / "a.run")
    (path / "failed.csv").symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refusal(path, Mode.RESUME)


def test_pipe_in_run_directory_makes_nobody_wait(tmp_path: Path) -> None:
    """A named pipe in the place of a file of the run is refused at once."""
    path = a_run(tmp_path / "a.run")
    (path / "results.jsonl").unlink()
    os.mkfifo(path / "results.jsonl")
    assert "no regular file" in refusal(path, Mode.RESUME)


def test_directory_knows_which_files_overwriting_removes(tmp_path: Path) -> None:
    """The run directory tells which files overwriting would remove, also through a link."""
    path = a_run(tmp_path / "a.run")
    with RunDirectory.open(path, Mode.OVERWRITE) as directory:
        (path / "failed.csv").write_text("")
        (tmp_path / "link.csv").symlink_to(path / "failed.csv")
        assert directory.holds(path / "failed.csv")
        assert directory.holds(tmp_path / "link.csv")
        assert not directory.holds(path / "mine.csv")
        assert not directory.holds(tmp_path / "failed.csv")
        assert not directory.holds(tmp_path / "none" / "failed.csv")


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("name", ["failed.csv", "results.jsonl", "summary.json", "stdin.csv"])
def test_foreign_file_with_known_name_is_kept(tmp_path: Path, mode: Mode, name: str) -> None:
    """A file of another origin that has a name of the run's files is left alone."""
    path = tmp_path / "theirs"
    path.mkdir(mode=0o755)
    (path / name).write_text("{}")
    assert "choose another" in refusal(path, mode)
    assert (path / name).read_text() == "{}"
    assert path.stat().st_mode & 0o777 == 0o755


def test_remains_of_killed_start_are_no_obstacle(
    tmp_path: Path,
) -> None:
    """A directory that a run left when it was killed at its start is used again."""
    path = tmp_path / "a.run"
    path.mkdir(mode=0o755)
    (path / "stdin.part").write_text("half")
    with RunDirectory.open(path, Mode.NEW):
        assert path.stat().st_mode & 0o777 == 0o700
        assert [*path.iterdir()] == [], "what a killed session left"


def test_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory in which nothing may be written is refused at the beginning."""
    (tmp_path / "a.run").mkdir()
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK | os.X_OK)
    assert "a.run can't be written" in refusal(tmp_path / "a.run")


def test_vanished_directory_raises_a_journal_error(tmp_path: Path) -> None:
    """A run directory that vanishes during the run raises a journal error."""
    path = tmp_path / "a.run"
    with RunDirectory.open(path, Mode.NEW) as directory:
        path.rmdir()
        with pytest.raises(JournalError, match="can't be written"):
            directory.keep_stdin([b"x"])


@pytest.mark.parametrize(("left", "what"), [("0" * 64, "has"), (None, "may have")])
def test_each_edited_failed_file_of_a_run_is_kept(
    tmp_path: Path, left: str | None, what: str
) -> None:
    """A failed file that is edited again and again is kept each time, under a new name.

    Where the last session was killed, nobody knows whether it was edited.
    """
    path = a_run(tmp_path / "a.run")
    failed = path / "failed.csv"
    with RunDirectory.open(path, Mode.RESUME) as directory:
        for number in (1, 2, 3):
            failed.write_text(f"edit {number}")
            (note,) = directory.keep_edited(failed, left=left)
            assert note == f"{failed} {what} been edited: kept as {path / f'failed.{number}.csv'}"
            assert not failed.exists()
    kept = [(path / f"failed.{number}.csv").read_text() for number in (1, 2, 3)]
    assert kept == ["edit 1", "edit 2", "edit 3"]


def test_each_earlier_log_of_a_run_gets_its_own_name(tmp_path: Path) -> None:
    """A log that is replaced again and again is kept each time, under a new name."""
    files = RunFiles(tmp_path)
    for number in (1, 2, 3):
        free = files.free_results()
        assert free.name == f"results.{number}.jsonl"
        free.touch()


@pytest.mark.parametrize("how", ["moved", "link", "other"])
def test_directory_in_the_place_of_the_runs_gets_nothing(tmp_path: Path, how: str) -> None:
    """Nothing is written or removed where a link or another directory has taken the run's place."""
    path, theirs = tmp_path / "a.run", tmp_path / "theirs"
    theirs.mkdir()
    scrap = theirs / "check.json.part"
    scrap.touch()
    with RunDirectory.open(path, Mode.NEW) as directory:
        path.rename(tmp_path / "moved.run")
        if how == "link":
            path.symlink_to(theirs)
        elif how == "other":
            path.mkdir()
        for write in (
            lambda: directory.write_check(b"x"),
            lambda: directory.keep_stdin([b"x"]),
            lambda: directory.adopt_stdin(scrap, Format.CSV),
            directory.new_edits,
            directory.adopt_digests,
            directory.forget_check,
            directory.forget_report,
            directory.clear,
        ):
            with pytest.raises(JournalError, match="moved or replaced"):
                write()
    assert [*theirs.iterdir()] == [scrap]
    assert path.exists() is (how != "moved")


def test_directory_of_a_fleet_is_left_once(tmp_path: Path) -> None:
    """A run that goes on here is one of this machine, and the first time says so."""
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        assert directory.leave_fleet() is False
        directory.write_fleet(b"{}")
        assert [directory.leave_fleet(), directory.leave_fleet()] == [True, False]


def test_link_to_a_run_directory_may_be_named(tmp_path: Path) -> None:
    """A user may keep runs on another disk, and name them by a link."""
    (tmp_path / "real.run").mkdir()
    (tmp_path / "a.run").symlink_to(tmp_path / "real.run")
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        directory.write_check(b"x")
    assert (tmp_path / "real.run" / "check.json").read_bytes() == b"x"


def new_name(directory: RunDirectory, file: str) -> None:
    """Give a file of the directory a new name."""
    files = directory.files
    if file == "check":
        directory.write_check(b"x")
    elif file == "stdin":
        directory.adopt_stdin(directory.keep_stdin([b"x"]), Format.CSV)
    elif file == "edits":
        directory.adopt_edits(directory.new_edits())
    elif file == "digests":
        files.digests_part.touch()
        directory.adopt_digests()
    else:
        failed = files.failed(Format.CSV)
        failed.write_text("edited")
        directory.keep_edited(failed, None, lambda: True)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was written to the disk, each time: the names in a directory; none for a file."""
    found: list[list[str]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        found.append(sorted(os.listdir(descriptor)) if is_directory else [])
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.mark.parametrize(
    ("file", "written"),
    [
        ("check", [[], ["check.json"]]),
        ("stdin", [["stdin.csv"]]),
        ("edits", [[], ["edits.jsonl"]]),
        ("digests", [["rows.digest"]]),
        ("failed", [["failed.1.csv"]]),
    ],
)
def test_new_name_is_on_the_disk_before_it_counts(
    tmp_path: Path, file: str, written: list[list[str]], synced: list[list[str]]
) -> None:
    """Once a file has its name, its directory is written to the disk."""
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        assert synced == [["a.run"]]
        synced.clear()
        new_name(directory, file)
    assert synced == written


def test_name_that_is_removed_is_off_the_disk_before_it_counts(
    tmp_path: Path, synced: list[list[str]]
) -> None:
    """A run that goes on here is not taken for a fleet's after the machine has crashed."""
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        directory.write_fleet(b"{}")
        synced.clear()
        directory.leave_fleet()
    assert synced == [[]]


@pytest.mark.parametrize(
    ("key", "value"),
    [("counts", {}), ("counts", {"updated": -1}), ("now", "yesterday"), ("format", "doc"),
     ("base_url", "http://["), ("rows", -1)],
)  # fmt: skip
def test_damaged_summary_is_told_as_damage(tmp_path: Path, key: str, value: object) -> None:
    """A summary that holds what no run writes is damage, and is not followed."""
    path = a_run(tmp_path / "a.run")
    summary = json.loads((path / "summary.json").read_text())
    where = summary["input"] if key in ("now", "format", "rows") else summary
    where[key] = value
    (path / "summary.json").write_text(json.dumps(summary))
    assert "summary.json is damaged" in refusal(path, Mode.RESUME)


def test_directory_at_rest_is_locked_for_runs_alone(tmp_path: Path) -> None:
    """While its files are read, no run may begin, and others may read them too."""
    path = a_run(tmp_path / "a.run")
    with at_rest(path) as files, at_rest(path):
        assert files.summary.exists()
        with pytest.raises(RunInUseError, match="in use by another run"):
            RunDirectory.open(path, Mode.RESUME)
    with (
        RunDirectory.open(path, Mode.RESUME),
        pytest.raises(RunInUseError, match="in use by a run: try again"),
        at_rest(path),
    ):
        pass


def test_directory_at_rest_keeps_what_a_killed_session_left(tmp_path: Path) -> None:
    """Reading a directory removes nothing from it, and does not change who may read it."""
    path = a_run(tmp_path / "a.run")
    (path / "rows.parked").touch()
    path.chmod(0o755)
    with at_rest(path):
        pass
    assert (path / "rows.parked").exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_pipe_makes_no_reader_of_a_directory_wait(tmp_path: Path) -> None:
    """A pipe in the place of a file of a run is refused before it is opened."""
    path = a_run(tmp_path / "a.run")
    os.mkfifo(path / "before.jsonl")
    refused = pytest.raises(RunDirectoryError, match=r"before\.jsonl is a link or no regular file")
    with refused, at_rest(path):
        pass
