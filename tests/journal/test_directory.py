"""The run directory: who may use it, and what is done to what is there."""

from pathlib import Path

import pytest

from bulkupdate.codec import to_json
from bulkupdate.errors import JournalError, RunDirectoryError
from bulkupdate.journal.directory import Mode, RunDirectory
from bulkupdate.journal.summary import Summary
from bulkupdate.models import State
from bulkupdate.reader.info import InputInfo
from bulkupdate.reader.options import Format


def refusal(path: Path, mode: Mode = Mode.NEW) -> str:
    before = sorted(path.iterdir()) if path.is_dir() else None
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.open(path, mode)
    assert (sorted(path.iterdir()) if path.is_dir() else None) == before
    return str(caught.value)


def a_run(path: Path) -> Path:
    path.mkdir()
    info = InputInfo(path="a.csv", sha256="", rows=0, format="csv", encoding="utf-8", delimiter=",")
    summary = Summary(
        version="", input=info, directory="", base_url="", started="", ended=None,
        state=State.RUNNING, reason=None, exit_code=None, counts={}, mismatches=0, requests=0,
        retries=0, rate_limited=0, rows_per_second=0, allowed_rate=None, used_rate=0, paused=0,
        resumed=False,
    )  # fmt: skip
    (path / "results.jsonl").write_text("")
    (path / "summary.json").write_bytes(to_json(summary))
    return path


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        assert directory.path.stat().st_mode & 0o777 == 0o700
        directory.adopt_stdin(directory.keep_stdin([b"id\n", b"a\n"]), Format.CSV)
    kept = tmp_path / "a.run" / "stdin.csv"
    assert kept.read_bytes() == b"id\na\n"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_it_leaves_no_empty_directory_behind(tmp_path: Path) -> None:
    with RunDirectory.open(tmp_path / "a.run", Mode.NEW) as directory:
        directory.keep_stdin([b"x"])
    assert not (tmp_path / "a.run").exists()


def test_a_run_that_is_there_is_refused_with_the_ways_on(tmp_path: Path) -> None:
    message = refusal(a_run(tmp_path / "a.run"))
    assert all(flag in message for flag in ("Mode.RESUME", "Mode.OVERWRITE", "out"))


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    assert "no run to resume" in refusal(tmp_path / "a.run", Mode.RESUME)
    assert not (tmp_path / "a.run").exists()
    (tmp_path / "a.run").mkdir()
    assert "no run to resume" in refusal(tmp_path / "a.run", Mode.RESUME)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_directory_that_holds_something_else_is_refused(tmp_path: Path, mode: Mode) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    assert "something else" in refusal(tmp_path / "photos", mode)


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "can't be used" in refusal(tmp_path / "file")
    assert "no such directory" in refusal(tmp_path / "none" / "a.run")
    assert "can't be made" in refusal(tmp_path / "file" / "a.run")


def test_overwriting_removes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    path = a_run(tmp_path / "a.run")
    (path / "notes.txt").write_text("mine")
    with RunDirectory.open(path, Mode.OVERWRITE) as directory:
        assert (path / "results.jsonl").exists()
        directory.clear()
    assert [file.name for file in path.iterdir()] == ["notes.txt"]


def test_a_directory_in_use_is_refused_and_free_again_afterwards(tmp_path: Path) -> None:
    path = a_run(tmp_path / "a.run")
    with RunDirectory.open(path, Mode.RESUME):
        assert "in use by another run" in refusal(path, Mode.RESUME)
    RunDirectory.open(path, Mode.RESUME).close()


def test_a_link_in_it_is_not_followed(tmp_path: Path) -> None:
    path = a_run(tmp_path / "a.run")
    (path / "failed.csv").symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refusal(path, Mode.RESUME)


def test_it_knows_which_files_overwriting_would_remove(tmp_path: Path) -> None:
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
def test_a_file_of_somebody_elses_with_a_name_of_ours_is_left_alone(
    tmp_path: Path, mode: Mode, name: str
) -> None:
    path = tmp_path / "theirs"
    path.mkdir(mode=0o755)
    (path / name).write_text("{}")
    assert "choose another" in refusal(path, mode)
    assert (path / name).read_text() == "{}"
    assert path.stat().st_mode & 0o777 == 0o755


def test_what_a_run_that_was_killed_at_its_start_left_behind_is_no_hindrance(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.run"
    path.mkdir(mode=0o755)
    (path / "stdin.part").write_text("half")
    with RunDirectory.open(path, Mode.NEW):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_vanishes_is_an_error_of_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    with RunDirectory.open(path, Mode.NEW) as directory:
        path.rmdir()
        with pytest.raises(JournalError, match="can't be written"):
            directory.keep_stdin([b"x"])
