"""`check.json`: the result of a check of the input, kept for the next session."""

from bulkupdate._version import __version__
from bulkupdate.codec import parse_record, to_json
from bulkupdate.journal import RunDirectory, sha256
from bulkupdate.plan import Checked, Preview
from bulkupdate.reader import Input, InputInfo
from bulkupdate.session.resume import is_same_input


def keep_check(directory: RunDirectory, source: Input, info: InputInfo, preview: Preview) -> None:
    """Write the result of a check of the input.

    Raises:
        JournalError: the file could not be written.
    """
    checked = Checked(
        version=__version__,
        input=info,
        preview=preview,
        places=source.places,
        digests=sha256(directory.files.digests) or "",
    )
    directory.write_check(to_json(checked.sealed(), indent=2) + b"\n")


def recall_check(directory: RunDirectory, info: InputInfo) -> Checked | None:
    """Read the result of an earlier check of the same input by the same version.

    Returns:
        The result. None if there is none, or if it can't be read or is damaged; the input is then
        checked again.
    """
    try:
        checked = parse_record(directory.files.check.read_bytes(), Checked)
    except (OSError, ValueError):
        return None
    is_whole = checked.seal == checked.sealed().seal
    is_same = checked.version == __version__ and is_same_input(checked.input, info)
    return checked if is_whole and is_same else None


def has_digests(directory: RunDirectory, checked: Checked) -> bool:
    """Whether the directory still has the digests of the rows that were checked."""
    return sha256(directory.files.digests) == checked.digests
