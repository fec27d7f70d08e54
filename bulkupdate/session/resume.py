"""Whether a run may be gone on with: the same server; the same rows, or known to differ."""

from collections.abc import Callable
from urllib.parse import urlsplit

from bulkupdate._version import __version__
from bulkupdate.codec import parse_record, replaced, to_json
from bulkupdate.config import RunConfig, is_loopback
from bulkupdate.errors import RunDirectoryError, RunStoppedError
from bulkupdate.journal.digests import Changes, Digests, compare
from bulkupdate.journal.directory import RunDirectory
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.results import mend_journal, read_journal, renumber_journal
from bulkupdate.journal.summary import InputInfo, Summary
from bulkupdate.plan.preview import Checked, Preview
from bulkupdate.reader import Input

#: Rows that are named when an input has been edited.
_NAMED = 10

_CURE = "--out names another directory"


def check_server(directory: RunDirectory, earlier: Summary, config: RunConfig) -> None:
    """Refuse to go on elsewhere.

    Raises:
        RunDirectoryError: the run went to another server.
    """
    base_url = config.endpoint.base_url
    if earlier.sandbox != config.sandbox:
        went = "the sandbox" if earlier.sandbox else earlier.base_url
        goes = "the sandbox" if config.sandbox else base_url
        raise RunDirectoryError(
            f"{directory.path} is a run that went to {went}, this would go on at {goes}: {_CURE}"
        )
    if _server(earlier.base_url) != _server(base_url):
        raise RunDirectoryError(
            f"{directory.path} is a run that went to {earlier.base_url}, and this would go on at"
            f" {base_url}: {_CURE}"
        )


def is_same_input(earlier: InputInfo, info: InputInfo) -> bool:
    """Whether an input is known to hold the rows it held: the same bytes, read the same way."""
    return earlier.sha256 == info.sha256 and _reading(earlier) == _reading(info)


def keep_check(directory: RunDirectory, source: Input, info: InputInfo, preview: Preview) -> None:
    """Write down what checking an input has found.

    Raises:
        JournalError: it could not be written.
    """
    checked = Checked(version=__version__, input=info, preview=preview, places=source.places)
    directory.write_check(to_json(checked, indent=2) + b"\n")


def recall_check(directory: RunDirectory, info: InputInfo) -> Checked | None:
    """What this version of the program has found before in the same input, if it did.

    None where that can't be read: the input is then checked again.
    """
    try:
        checked = parse_record(directory.check.read_bytes(), Checked)
    except (OSError, ValueError):
        return None
    is_same = checked.version == __version__ and is_same_input(checked.input, info)
    return checked if is_same else None


def _reading(info: InputInfo) -> tuple[object, ...]:
    """Everything but its bytes that decides what the rows of an input say."""
    found = info.format, info.encoding, info.delimiter, info.sheet, info.columns
    return *found, info.options, info.now


def adopt_edited_input(
    directory: RunDirectory,
    earlier: Summary,
    info: InputInfo,
    *,
    is_allowed: bool,
    is_to_leave: Callable[[], bool],
) -> list[str]:
    """Go on with an input that has been edited, whose digests have just been written.

    What the log calls settled stays settled, wherever it stands now, unless an edit that is sent
    now would have to come before it. The log is renumbered; as it was, it is kept beside.

    Args:
        directory: of the run.
        earlier: the summary of the run before.
        info: what the input is now.
        is_allowed: whether the user knows that the input was edited.
        is_to_leave: whether to drop everything, as somebody is in a hurry; called now and then.

    Returns:
        What was noticed, for a person to read.

    Raises:
        RunDirectoryError: it is not allowed. The message says what has changed.
        JournalError: the log can't be read, or not renumbered; it is as it was.
        RunStoppedError: `is_to_leave` said so.
    """
    notes = []
    ledger = Ledger()
    before = Digests(directory.digests)
    if directory.results.exists():
        note = mend_journal(directory.results)
        notes += [note] if note else []
        for _, result in read_journal(directory.results):
            if is_to_leave():
                raise RunStoppedError("stopped before anything was sent")
            ledger.record(result)
            before.correct(result)
            if not earlier.input.sha256 and (result.merged or result.sent_with):
                # A crash came between: the log is renumbered and the digests are not, and what
                # these rows said is in no line of their own.
                before.forget(result.row)
    after = Digests(directory.digests_part)
    changes = compare(before, after, ledger.settling_line)
    how = _difference(earlier.input, info)
    said = f"{earlier.input.path} {how} since this run began: {_described(changes)}"
    if before == after:
        directory.adopt_digests()
        return notes
    if not is_allowed:
        raise RunDirectoryError(
            f"{directory.path}: {said}. --changed-input goes on with it as it is now (what was"
            f" sent and is as it was is not sent again), --overwrite starts again, {_CURE}"
        )
    if directory.results.exists():
        # From here on the log speaks of an input that is known by no SHA-256 until all is done:
        # whatever comes between, and whichever input is there then, rows are told by content.
        nobody = replaced(earlier, input=replaced(earlier.input, sha256=""))
        directory.write_summary(nobody)
        renumber_journal(directory.results, changes.kept, directory.free_results())
    directory.adopt_digests()
    return [*notes, said]


def _difference(earlier: InputInfo, info: InputInfo) -> str:
    """In what way the input is another, in words."""
    if earlier.sha256 != info.sha256:
        return "has been edited"
    names = sorted(
        name
        for name in earlier.options.keys() | info.options.keys()
        if earlier.options.get(name) != info.options.get(name)
    )
    flags = ", ".join(f"--{name.replace('_', '-')}" for name in names if "sha256" not in name)
    return f"is read otherwise ({flags or 'by what was recognised, --value-map or --now'})"


def _described(changes: Changes) -> str:
    parts = []
    for rows, verb, where in (
        (changes.changed, "changed", ""),
        (changes.added, "added", ""),
        (changes.removed, "removed", ", as they were numbered"),
    ):
        if rows:
            named = ", ".join(map(str, rows[:_NAMED])) + (", …" if len(rows) > _NAMED else "")
            noun = "row" if len(rows) == 1 else "rows"
            parts.append(f"{len(rows):,} {noun} {verb} ({named}{where})")
    return ", ".join(parts) or "the same rows, written or ordered otherwise"


def _server(base_url: str) -> str:
    """What tells one server from another: all sandboxes of this machine are one."""
    host = urlsplit(base_url).hostname or ""
    return "this machine" if is_loopback(host) else base_url
