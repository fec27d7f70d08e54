"""Write a file of edits, and read it back."""

from collections.abc import Iterable
from pathlib import Path

from bulkupdate.errors import InputError, JournalError
from bulkupdate.reader import Edit, EditsFile


def write_edits(file: EditsFile, part: Path, edits: Iterable[Edit]) -> None:
    """Write a file of edits, and read it back.

    Args:
        file: writes the rows.
        part: the file, which nobody else uses yet.
        edits: the rows.

    Raises:
        JournalError: it can't be written, or does not read back as what was written.
    """
    try:
        with part.open("wb") as to:
            file.write(to, edits)
        file.read_back(part)
    except OSError as error:
        raise JournalError(f"the file can't be written: {error.strerror or error}") from error
    except InputError as error:
        raise JournalError(f"the file does not read back as it was written: {error}") from error
