"""Bytes of files, compressed and not."""

import gzip
import lzma
from pathlib import Path

import pytest

from bulkupdate.errors import InputError
from bulkupdate.reader import Input, raw


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused, Input.open(path) as source:
        list(source.rows())
    return str(refused.value)


def test_a_bomb_is_refused_before_it_fills_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "BOMB_BYTES", 100_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"id,title\n" + b"opp_1,x\n" * 200_000))
    assert "unpacks to more than 200 times its length" in refusal(path)


def test_what_shrinks_well_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "edits.csv.gz"
    path.write_bytes(gzip.compress(b"id,title\n" + b"opp_1,x\n" * 20_000))
    with Input.open(path) as source:
        assert sum(1 for _ in source.rows()) == 20_000


def test_an_xz_file_that_asks_for_too_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "_XZ_MEMORY", 1 << 20)
    path = tmp_path / "edits.csv.xz"
    path.write_bytes(lzma.compress(b"id,title\nopp_1,x\n", preset=9))
    assert "can't be unpacked as xz" in refusal(path)


@pytest.mark.parametrize("cut", [3, 10, 30])
def test_a_file_that_was_cut_off_says_so(tmp_path: Path, cut: int) -> None:
    whole = lzma.compress(b"id,title\n" + b"opp_1,x\n" * 100)
    path = tmp_path / "edits.csv.xz"
    path.write_bytes(whole[:-cut])
    assert "can't be unpacked as xz, copy it again" in refusal(path)


def test_a_compressed_file_can_be_read_again_and_keeps_its_own_sum(tmp_path: Path) -> None:
    path = tmp_path / "edits.csv.gz"
    path.write_bytes(gzip.compress(b"id,title\nopp_1,x\n", mtime=0))
    with Input.open(path) as source:
        assert list(source.rows()) == list(source.rows())
        info = source.info("edits.csv.gz")
    assert (info.compression, info.format, info.encoding) == ("gzip", "csv", "utf-8")
    assert len(info.sha256) == 64
