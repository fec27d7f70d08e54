"""Tests of the bytes of files, with and without compression."""

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from bulkupdate.errors import InputError
from bulkupdate.reader import Input, raw


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused, Input.open(path) as source:
        list(source.rows())
    return str(refused.value)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that is broken")
def test_file_that_can_not_be_read_is_refused() -> None:
    """A disk that fails at the first byte is told as what it is."""
    why = os.strerror(errno.EIO)
    assert refusal(Path("/proc/self/mem")) == f"/proc/self/mem: can't be read: {why}"


def test_share_of_a_file_that_has_grown_is_at_most_all(tmp_path: Path) -> None:
    """Where another program has added to a file, the share that was read is at most 1."""
    path = tmp_path / "edits.csv"
    path.write_text("id,title\n" + "opp_1,x\n" * 2_000)
    with Input.open(path) as source:
        with path.open("a") as file:
            file.write("opp_1,x\n" * 20_000)
        shares = {source.share_read for _ in source.rows()}
    assert 1.0 in shares
    assert all(share is None or share <= 1 for share in shares)


def test_compressed_bomb_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed file that grows far beyond its length is refused."""
    monkeypatch.setattr(raw, "BOMB_BYTES", 100_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"id,title\n" + b"opp_1,x\n" * 200_000))
    assert "unpacks to more than 200 times its length" in refusal(path)


@pytest.mark.parametrize(("least", "row"), [(raw.BOMB_BYTES, "opp_1,x"), (100_000, "opp_{},x")])
def test_well_compressed_file_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, row: str
) -> None:
    """A file is no bomb that is small, or that grows to many times its length, but not too many."""
    monkeypatch.setattr(raw, "BOMB_BYTES", least)
    path = tmp_path / "edits.csv.gz"
    rows = "".join(f"{row.format(n)}\n" for n in range(20_000))
    path.write_bytes(gzip.compress(f"id,title\n{rows}".encode()))
    with Input.open(path) as source:
        assert sum(1 for _ in source.rows()) == 20_000


@pytest.mark.parametrize(("size", "is_accepted"), [(29, True), (31, False)])
def test_memory_hungry_xz_file_is_refused(tmp_path: Path, size: int, is_accepted: bool) -> None:
    """An xz file that asks for more memory than 128 MiB is refused."""
    content = bytearray(lzma.compress(b"id,title\nopp_1,x\n", preset=0))
    # The size of the dictionary, as the .xz file format encodes it: 29 is 96 MiB, 31 is 192 MiB.
    content[16] = size
    content[20:24] = zlib.crc32(content[12:20]).to_bytes(4, "little")
    path = tmp_path / "edits.csv.xz"
    path.write_bytes(content)
    if is_accepted:
        with Input.open(path) as source:
            assert len(list(source.rows())) == 1
    else:
        assert "can't be unpacked as xz" in refusal(path)


@pytest.mark.parametrize("cut", [3, 10, 30])
def test_truncated_compressed_file_is_refused(tmp_path: Path, cut: int) -> None:
    """A truncated xz file is refused with the advice to copy it again."""
    whole = lzma.compress(b"id,title\n" + b"opp_1,x\n" * 100)
    path = tmp_path / "edits.csv.xz"
    path.write_bytes(whole[:-cut])
    assert "can't be unpacked as xz, copy it again" in refusal(path)


@pytest.mark.parametrize(
    ("suffix", "kind", "pack"),
    [("gz", "gzip", gzip.compress), ("bz2", "bzip2", bz2.compress), ("xz", "xz", lzma.compress)],
)
def test_damaged_compressed_file_is_refused(
    tmp_path: Path, suffix: str, kind: str, pack: Callable[[bytes], bytes]
) -> None:
    """A compressed file with a wrong byte is refused by the name of its compression."""
    whole = bytearray(
        pack(
            b"id,title\n"
            + b"".join(b"opp_%d,%x\n" % (n, n * 0x9E3779B97F4A7C15) for n in range(3000))
        )
    )
    whole[len(whole) // 2] ^= 0xFF
    path = tmp_path / f"edits.csv.{suffix}"
    path.write_bytes(whole)
    assert f"can't be unpacked as {kind}, copy it again" in refusal(path)


def test_compressed_file_can_be_reread(tmp_path: Path) -> None:
    """A compressed file can be read twice, and reports its compression and checksum."""
    path = tmp_path / "edits.csv.gz"
    path.write_bytes(gzip.compress(b"id,title\nopp_1,x\n", mtime=0))
    with Input.open(path) as source:
        assert list(source.rows()) == list(source.rows())
        info = source.info("edits.csv.gz")
    assert (info.compression, info.format, info.encoding) == ("gzip", "csv", "utf-8")
    assert len(info.sha256) == 64


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("rows", [1, 100, 300, 5_000, 40_000])
def test_checksum_is_that_of_all_bytes_whatever_was_read(
    tmp_path: Path, pack: Callable[[bytes], bytes], rows: int
) -> None:
    """The checksum is that of the file before, between and after passes, and disturbs none."""
    path = tmp_path / "edits.csv"
    path.write_bytes(pack(b"id,title\n" + b"".join(b"opp_%d,x%d\n" % (n, n) for n in range(rows))))
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    file = raw.RawFile.open(path, "edits.csv")
    assert file.sha256() == expected
    assert file.head()
    assert file.sha256() == expected
    file.close()
    with Input.open(path) as source:
        assert source.sha256() == expected
        found = source.rows()
        first = next(found)
        assert source.sha256() == expected
        assert sum(1 for _ in found) == rows - 1
        assert (first.id, source.sha256()) == ("opp_0", expected)


def test_checksum_of_a_workbook_is_that_of_all_bytes(tmp_path: Path) -> None:
    """A workbook's too."""
    path = tmp_path / "edits.xlsx"
    book = openpyxl.Workbook()
    for row in [
        ("id", "title"),
        *((f"opp_{n}", f"{n * 0x9E3779B97F4A7C15:x}") for n in range(2000)),
    ]:
        book.active.append(row)
    book.save(path)
    with Input.open(path) as source:
        assert sum(1 for _ in source.rows()) == 2000
        assert source.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
