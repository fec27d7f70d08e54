"""Tests of the bytes of files, with and without compression."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkupdate.errors import InputError
from bulkupdate.reader import Input, raw


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused, Input.open(path) as source:
        list(source.rows())
    return str(refused.value)


def test_compressed_bomb_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed file that grows far beyond its length is refused."""
    monkeypatch.setattr(raw, "BOMB_BYTES", 100_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"id,title\n" + b"opp_1,x\n" * 200_000))
    assert "unpacks to more than 200 times its length" in refusal(path)


def test_well_compressed_file_is_accepted(tmp_path: Path) -> None:
    """A file that compresses well is read to its end and not taken for a bomb."""
    path = tmp_path / "edits.csv.gz"
    path.write_bytes(gzip.compress(b"id,title\n" + b"opp_1,x\n" * 20_000))
    with Input.open(path) as source:
        assert sum(1 for _ in source.rows()) == 20_000


def test_memory_hungry_xz_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An xz file that asks for too much memory is refused."""
    monkeypatch.setattr(raw, "_XZ_MEMORY", 1 << 20)
    path = tmp_path / "edits.csv.xz"
    path.write_bytes(lzma.compress(b"id,title\nopp_1,x\n", preset=9))
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
