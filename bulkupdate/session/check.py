"""What checking an input found, kept for the next session: `check.json`."""

from bulkupdate._version import __version__
from bulkupdate.codec import parse_record, to_json
from bulkupdate.journal import RunDirectory
from bulkupdate.plan import Checked, Preview
from bulkupdate.reader import Input, InputInfo
from bulkupdate.session.resume import is_same_input


def keep_check(directory: RunDirectory, source: Input, info: InputInfo, preview: Preview) -> None:
    """Write down what checking an input found.

    Raises:
        JournalError: it could not be written.
    """
    checked = Checked(version=__version__, input=info, preview=preview, places=source.places)
    directory.write_check(to_json(checked, indent=2) + b"\n")


def recall_check(directory: RunDirectory, info: InputInfo) -> Checked | None:
    """What this version of the program found in the same input before, if it did.

    None where that can't be read: the input is then checked again.
    """
    try:
        checked = parse_record(directory.files.check.read_bytes(), Checked)
    except (OSError, ValueError):
        return None
    is_same = checked.version == __version__ and is_same_input(checked.input, info)
    return checked if is_same else None
