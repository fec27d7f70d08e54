"""Tests of files that are only appended to, and of files that are replaced whole."""

import errno
import os
from pathlib import Path

import pytest

from bulkupdate.errors import ConfigError, JournalError
from bulkupdate.journal.files import (
    AppendOnlyFile,
    forget_cached,
    published,
    replace_file,
    sha256,
    sync_directory,
)
from tests.support.fakes import open_files


def test_writes_of_a_few_bytes_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data is written whole where the system takes only seven bytes at a time."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    file = AppendOnlyFile(tmp_path / "log")
    lines = [f"line {number}, of some length\n".encode() for number in range(20)]
    for line in lines:
        file.write(line)
        file.check()
    file.close()
    assert (tmp_path / "log").read_bytes() == b"".join(lines)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_directory_that_can_not_be_synced_needs_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Some file systems refuse to sync a directory. Any other error counts, and nothing leaks."""

    def failing(_: int) -> None:
        raise OSError(number, os.strerror(number))

    before = open_files()
    monkeypatch.setattr(os, "fsync", failing)
    sync_directory(tmp_path)
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        sync_directory(tmp_path)
    assert open_files() <= before


def test_all_of_a_file_is_read_from_the_disk_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system is told to forget each byte of it; a file that is gone needs no word."""
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, *asks: asked.append(asks))
    (tmp_path / "log").write_bytes(b"x")
    forget_cached(tmp_path / "log")
    forget_cached(tmp_path / "none")
    assert asked == [(0, 0, os.POSIX_FADV_DONTNEED)]


def test_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that the disk has room for only in part is taken back, and the next data is written."""
    file = AppendOnlyFile(tmp_path / "log")
    file.write(b"first\n")
    write, calls = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:7])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalError, match="can't be written: No space left on device"):
        file.write(b"x" * 100)
    assert (tmp_path / "log").read_bytes() == b"first\n"
    monkeypatch.undo()
    file.write(b"second\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"first\nsecond\n"


def test_file_that_another_program_wrote_to_takes_no_more(tmp_path: Path) -> None:
    """A file is not ours any more once it was written to, replaced or deleted."""
    path = tmp_path / "log"
    file = AppendOnlyFile(path)
    file.write(b"first\n")
    assert file.is_ours
    with path.open("ab") as other:
        other.write(b"theirs\n")
    assert not file.is_ours
    with pytest.raises(JournalError, match="another program has written to it"):
        file.write(b"second\n")
    file.close()
    assert path.read_bytes() == b"first\ntheirs\n"


@pytest.mark.parametrize("is_replaced", [True, False])
def test_file_that_was_moved_is_noticed(tmp_path: Path, is_replaced: bool) -> None:
    """A file that has another name by now is not ours, and does not count as synced."""
    path = tmp_path / "log"
    file = AppendOnlyFile(path)
    file.write(b"first\n")
    path.rename(tmp_path / "moved")
    if is_replaced:
        path.write_bytes(b"first\n")
    assert not file.is_ours
    for _ in range(2):
        with pytest.raises(JournalError, match="it was moved or replaced"):
            file.sync()
    file.close()


def test_renamed_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a file has a new name, its directory is written to the disk."""
    synced: list[bool] = []
    monkeypatch.setattr(
        "bulkupdate.journal.files.sync_directory",
        lambda directory: synced.append((directory / "b").exists()),
    )
    file = AppendOnlyFile(tmp_path / "a")
    file.rename(tmp_path / "b")
    file.close()
    assert synced == [True]


def test_renamed_file_is_still_ours(tmp_path: Path) -> None:
    """A file that we renamed is written under its new name."""
    file = AppendOnlyFile(tmp_path / "part")
    file.write(b"first\n")
    file.rename(tmp_path / "log")
    file.write(b"second\n")
    file.sync()
    file.close()
    file.close()
    assert (tmp_path / "log").read_bytes() == b"first\nsecond\n"
    assert not (tmp_path / "part").exists()


def test_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that can't be replaced keeps its content, and nothing is left beside it."""
    path = tmp_path / "summary.json"
    replace_file(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="broken"):
            replace_file(path, b"second", sync=True)
        assert path.read_bytes() == b"first"
        replace_file(path, b"third")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"third"
    assert path.stat().st_mode & 0o777 == 0o640


def test_hash_of_a_missing_file_is_unknown(tmp_path: Path) -> None:
    """The SHA-256 of a file that can't be read is None."""
    assert sha256(tmp_path / "none") is None
    (tmp_path / "a").write_bytes(b"abc")
    assert (sha256(tmp_path / "a") or "")[:8] == "ba7816bf"


def publish(path: Path, data: bytes = b"whole", *, overwrite: bool = False) -> None:
    with published(path, overwrite=overwrite) as part:
        part.write_bytes(data)


def test_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    """Until the block ends, there is nothing under the name. The file is its owner's alone."""
    path = tmp_path / "tasks.csv"
    with published(path) as part:
        part.write_bytes(b"half")
        assert not path.exists()
        assert part.stat().st_mode & 0o777 == 0o600
        part.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [path]
    assert path.stat().st_nlink == 1


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_block_that_fails_leaves_no_file(
    tmp_path: Path, error: type[BaseException], overwrite: bool
) -> None:
    """A file that was not finished is removed, whatever ended it; an earlier one stays."""
    path = tmp_path / "tasks.csv"
    if overwrite:
        path.write_bytes(b"earlier")

    def break_off() -> None:
        with published(path, overwrite=overwrite) as part:
            part.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        break_off()
    assert [*tmp_path.iterdir()] == ([path] if overwrite else [])
    assert not overwrite or path.read_bytes() == b"earlier"


def test_file_that_exists_is_refused_before_the_work(tmp_path: Path) -> None:
    """A file is replaced only where that is allowed. The message says how."""
    path = tmp_path / "tasks.csv"
    path.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"is there already: overwrite=True replaces it"):
        publish(path)
    assert path.read_bytes() == b"mine"
    publish(path, overwrite=True)
    assert path.read_bytes() == b"whole"
    assert [*tmp_path.iterdir()] == [path]


def no_links(_: Path, to: Path) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), to)


@pytest.mark.parametrize("has_links", [True, False])
def test_file_that_comes_meanwhile_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    """What another program writes under the name, while ours is made, stays."""
    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    path = tmp_path / "tasks.csv"
    ours = published(path)
    ours.__enter__().write_bytes(b"whole")
    path.write_bytes(b"theirs")
    with pytest.raises(ConfigError, match="is there already"):
        ours.__exit__(None, None, None)
    assert path.read_bytes() == b"theirs"
    assert [*tmp_path.iterdir()] == [path]


def test_file_system_without_links_takes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory stick has no hard links: there, the file is renamed."""
    monkeypatch.setattr(Path, "hardlink_to", no_links)
    publish(tmp_path / "tasks.csv")
    assert (tmp_path / "tasks.csv").read_bytes() == b"whole"
    assert len([*tmp_path.iterdir()]) == 1


def test_directory_that_takes_no_file_is_told_at_once(tmp_path: Path) -> None:
    """Where no file can be written, nothing is read from the server first."""
    with pytest.raises(ConfigError, match="can't be written: No such file or directory"):
        publish(tmp_path / "none" / "tasks.csv")


@pytest.mark.parametrize("overwrite", [False, True])
def test_disk_that_does_not_confirm_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """A file that may not be on the disk does not appear."""

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(JournalError, match="can't be written: Input/output error"):
        publish(tmp_path / "tasks.csv", overwrite=overwrite)
    assert [*tmp_path.iterdir()] == []
