"""The bytes of a file: the same on each pass, and unpacked if they are compressed."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from bulkupdate.errors import InputError

#: First bytes of compressed files, by the name of the compression.
_MAGIC = re.compile(
    rb"(?P<gzip>\x1f\x8b\x08)|(?P<bzip2>BZh[1-9](1AY&SY|\x17rE8P\x90))|(?P<xz>\xfd7zXZ\x00)"
)
_UNPACK: dict[str, Callable[[IO[bytes]], Any]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}
#: A file that unpacks to more than these bytes, and to more than this multiple of its length, is a
#: bomb. Text of edits shrinks to a fifth, seldom to a fiftieth.
BOMB_BYTES = 64 << 20
BOMB_RATIO = 200

#: Memory that unpacking an xz file may use, in bytes: the need of `xz -9`.
_XZ_MEMORY = 128 << 20

_HEAD = 8192

#: Bytes that are read at once for a hash.
_BLOCK = 1 << 18


class RawFile:
    """An open regular file. Create one with `RawFile.open`.

    One descriptor serves every pass. So replacing the file in the meantime changes nothing.

    Args:
        file: the file, open.
        name: the name of the file in messages.

    Attributes:
        name: the name of the file in messages.
        compression: `gzip`, `bzip2`, `xz`, or None.
    """

    def __init__(self, file: io.FileIO, name: str) -> None:
        self.name = name
        self.compression: str | None = None
        self._file = file
        self._stamp = _stamp(file)
        self._passing: io.BufferedReader | None = None

    @classmethod
    def open(cls, path: Path, name: str) -> Self:
        """Open a file.

        Args:
            path: the path of the file.
            name: the name of the file in messages.

        Raises:
            InputError: the file can't be read.
        """
        try:
            _check_regular(path, name)
            # Each pass moves the position of this file too, so that it must not have a buffer.
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise InputError(f"{name}: there is no such file") from None
        except IsADirectoryError:
            raise InputError(f"{name}: is a directory, not a file") from None
        except OSError as error:
            raise InputError(f"{name}: can't be read: {error.strerror}") from None
        raw = cls(file, name)
        try:
            with raw._errors():
                raw.compression = _compression(file.read(16))
            if raw.compression == "xz":
                raw._check_memory()
        except BaseException:
            raw.close()
            raise
        return raw

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def sha256(self) -> str:
        """The SHA-256 of the bytes on disk, in hexadecimal. It disturbs no pass."""
        digest, offset = hashlib.sha256(), 0
        with self._errors():
            while data := os.pread(self._file.fileno(), _BLOCK, offset):
                digest.update(data)
                offset += len(data)
        return digest.hexdigest()

    def has_changed(self) -> bool:
        """Whether the file has changed since it was opened."""
        return _stamp(self._file) != self._stamp

    @property
    def share_read(self) -> float | None:
        """The share of the bytes on disk that the present pass has read; None between passes."""
        length = self._stamp[1]
        if self._passing is None or not length:
            return None
        try:
            return min(self._passing.tell() / length, 1.0)
        except (OSError, ValueError):
            return None  # The pass has ended, perhaps in this very moment.

    def head(self) -> bytes:
        """The first few thousand bytes of the content.

        Raises:
            InputError: the file can't be unpacked.
        """
        with self.content() as content:
            return content.read(_HEAD)

    @contextmanager
    def content(self) -> Iterator[IO[bytes]]:
        """The unpacked content from the beginning. Only one pass may run at a time.

        Raises:
            InputError: the file can't be read or unpacked, or is a bomb.
        """
        with self._errors(), open(os.dup(self._file.fileno()), "rb") as file:  # noqa: PTH123
            file.seek(0)
            self._passing = file
            if self.compression is None:
                yield file
                return
            with _UNPACK[self.compression](file) as unpacked:
                length = os.fstat(file.fileno()).st_size
                yield io.BufferedReader(_Bounded(unpacked, length, self.name), 1 << 17)

    def _check_memory(self) -> None:
        """Check that unpacking an xz file stays below the memory limit, by its header."""
        with self._errors():
            self._file.seek(0)
            unpacking = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            unpacking.decompress(self._file.read(_HEAD), max_length=1)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise InputError(self._broken(str(error))) from None
        except OSError as error:
            if self.compression and error.errno is None:
                raise InputError(self._broken(str(error))) from None
            raise InputError(f"{self.name}: can't be read: {error.strerror}") from None

    def _broken(self, why: str) -> str:
        return f"{self.name}: can't be unpacked as {self.compression}, copy it again: {why}"


class _Bounded(io.RawIOBase):
    """The unpacked bytes of a file, up to a limit in proportion to its length."""

    def __init__(self, unpacked: IO[bytes], length: int, name: str) -> None:
        self._unpacked = unpacked
        self._left = max(BOMB_BYTES, BOMB_RATIO * length)
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._unpacked.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise InputError(
                f"{self._name}: unpacks to more than {BOMB_RATIO} times its length, which a file"
                " of edits never does: if you trust it, unpack it yourself"
            )
        buffer[: len(data)] = data
        return len(data)


def _compression(head: bytes) -> str | None:
    found = _MAGIC.match(head)
    return (
        next((name for name, magic in found.groupdict().items() if magic), None) if found else None
    )


def _check_regular(path: Path, name: str) -> None:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{name}: is not a regular file: pipe it into '-' instead")


def _stamp(file: IO[bytes]) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_mtime_ns, status.st_size
