"""The process that reads a spreadsheet.

It reads the file from stdin. It writes the rows, as `rows.Rows` describes them, to the descriptor
that it is given. Then it writes the facts about them to stdout, as JSON::

    {"format": "xlsx", "sheet": "Edits", "first": 0, "width": 7, "merged": [], "is_plain": true}

or an error: `{"error": …}`.
"""

import contextlib
import errno
import json
import resource
import signal
import sys
import zipfile
import zlib
from typing import IO, Any
from xml.parsers import expat

from .rows import FoundError, Rows, WorkbookError, chosen

#: Memory limit of this process, in bytes. A million rows of ten columns take half of it.
MEMORY = 1 << 30

#: Limit of its time on a processor, in seconds, for where the other process was killed and only
#: this one goes on.
SECONDS = 300

#: Sets the signal that the process gets when its parent ends. (Linux: prctl)
_PR_SET_PDEATHSIG = 1

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BROKEN = "is broken ({}): open it in a spreadsheet program, and save it again"
_TOO_LARGE = "takes too much memory: split it into several files, or save it as CSV"


def read(file: IO[bytes], wanted: str | None, to: IO[bytes]) -> dict[str, Any]:
    """Read one sheet.

    Args:
        file: the spreadsheet.
        wanted: the name of the sheet; None to take the only one with cells.
        to: takes the rows.

    Returns:
        The facts about the sheet, or an error.
    """
    try:
        return _sheet(file, wanted, Rows(to))
    except WorkbookError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": _TOO_LARGE}
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return {"error": _BROKEN.format(error)}
        return {"error": "full"}
    except expat.ExpatError as error:
        is_memory = error.code == expat.errors.codes[expat.errors.XML_ERROR_NO_MEMORY]
        return {"error": _TOO_LARGE if is_memory else _BROKEN.format(f"no XML: {error}")}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        return {"error": _BROKEN.format(str(error) or "it ends too early")}
    except Exception as error:
        return {"error": _BROKEN.format(f"{type(error).__name__} {error}".strip())}


def _sheet(file: IO[bytes], wanted: str | None, rows: Rows) -> dict[str, Any]:
    if file.read(len(_OLE)) == _OLE:
        from . import xls

        return _facts("xls", xls.read(file, wanted, rows), rows)
    if not zipfile.is_zipfile(file):
        raise WorkbookError("can't be read as a spreadsheet: it is cut off, or no spreadsheet")
    with zipfile.ZipFile(file) as archive:
        if any(entry.flag_bits & 1 for entry in archive.infolist()):
            raise WorkbookError("is locked by a password: save it without one")
        if "content.xml" in archive.namelist() or "encrypted-package" in archive.namelist():
            from . import ods

            return _facts("ods", ods.read(archive, wanted, rows), rows)
        return _facts("xlsx", _read_xlsx(archive, wanted, rows), rows)


def _read_xlsx(archive: zipfile.ZipFile, wanted: str | None, rows: Rows) -> str:
    from . import xlsx

    book = xlsx.Book(archive)
    sheets = {sheet.name: sheet for sheet in book.sheets}
    visible = [sheet.name for sheet in book.sheets if not sheet.is_hidden]

    def is_full(name: str) -> bool:
        try:
            book.read(sheets[name], Rows(None))
        except FoundError:
            return True
        return False

    name = chosen(wanted, list(sheets), visible, is_full)
    book.read(sheets[name], rows)
    return name


def _facts(format_: str, name: str, rows: Rows) -> dict[str, Any]:
    rows.flush()
    rows.check_merged()
    if not rows.width:
        raise WorkbookError("the file is empty")
    return {
        "format": format_,
        "sheet": name,
        "first": rows.first,
        "width": rows.width,
        "merged": rows.merged,
        "is_plain": rows.is_plain,
    }


def main() -> None:
    """Read a spreadsheet from stdin, and write its rows and the facts about them."""
    with contextlib.suppress(ValueError, OSError):
        # Not every system has these limits.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    _end_with_parent()
    wanted = sys.argv[2] if len(sys.argv) > 2 else None
    with open(int(sys.argv[1]), "wb", buffering=0) as rows:  # noqa: PTH123 - it is open already
        facts = read(sys.stdin.buffer, wanted, rows)
    json.dump(facts, sys.stdout)


def _end_with_parent() -> None:
    """End this process when the one that waits for it is killed, where the system can do that."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
