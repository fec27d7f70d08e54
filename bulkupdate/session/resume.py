"""Whether a run may be resumed: the same server; the same rows, or known to differ."""

from urllib.parse import urlsplit

from bulkupdate.codec import replaced
from bulkupdate.errors import RunDirectoryError, count, setting
from bulkupdate.journal import (
    Changes,
    Digests,
    Ledger,
    RunDirectory,
    Summary,
    compare,
    read_journal,
    renumber_journal,
    repair_journal,
)
from bulkupdate.lemlist.endpoint import is_loopback
from bulkupdate.reader import InputInfo
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

#: What some settings are called in `InputInfo.options`.
_SETTINGS = {"map": "mapping", "set": "constants", "date_format": "date_formats"}

#: Rows that are named when an input has been edited.
_NAMED = 10


def _cure() -> str:
    return f"{setting('out')} names another directory"


def check_server(directory: RunDirectory, earlier: Summary, config: RunConfig) -> None:
    """Refuse to continue at another server.

    Raises:
        RunDirectoryError: the run went to another server.
    """
    base_url = config.endpoint.base_url
    if earlier.sandbox != config.sandbox:
        went = "the sandbox" if earlier.sandbox else earlier.base_url
        goes = "the sandbox" if config.sandbox else base_url
        raise RunDirectoryError(
            f"{directory.path} is a run that went to {went}, and this would continue at"
            f" {goes}: {_cure()}"
        )
    if _server(earlier.base_url) != _server(base_url):
        raise RunDirectoryError(
            f"{directory.path} is a run that went to {earlier.base_url}, and this would continue at"
            f" {base_url}: {_cure()}"
        )


def is_same_input(earlier: InputInfo, info: InputInfo) -> bool:
    """Whether an input is known to hold the rows it held: the same bytes, read the same way."""
    return earlier.sha256 == info.sha256 and _reading(earlier) == _reading(info)


def _reading(info: InputInfo) -> tuple[object, ...]:
    """Everything but its bytes that decides what the rows of an input say."""
    found = info.format, info.encoding, info.delimiter, info.sheet, info.columns
    return *found, info.options, info.now


def adopt_edited_input(
    directory: RunDirectory,
    earlier: Summary,
    info: InputInfo,
    stop: Stop,
    *,
    is_allowed: bool,
) -> list[str]:
    """Continue with an input that has been edited, whose digests have just been written.

    What the log calls settled stays settled, wherever it stands now, unless an edit that is sent
    now would have to come before it. The log is renumbered; as it was, it is kept beside.

    Args:
        directory: of the run.
        earlier: the summary of the run before.
        info: what the input is now.
        stop: ends it early.
        is_allowed: whether the user knows that the input was edited.

    Returns:
        What was noticed, for a person to read.

    Raises:
        RunDirectoryError: it is not allowed. The message says what has changed.
        JournalError: the log can't be read, or not renumbered; it is as it was.
        RunStoppedError: the stop was set.
    """
    notes = []
    ledger = Ledger()
    before = Digests.read(directory.files.digests)
    if directory.files.results.exists():
        note = repair_journal(directory.files.results)
        notes += [note] if note else []
        for _, result in read_journal(directory.files.results):
            stop.check()
            ledger.record(result)
            before.correct(result)
            if not earlier.input.sha256 and (result.merged or result.sent_with):
                # A crash came between: the log is renumbered and the digests are not, and what
                # these rows said is in no line of their own.
                before.forget(result.row)
    after = Digests.read(directory.files.digests_part)
    changes = compare(before, after, ledger.settling_line)
    how = _difference(earlier.input, info)
    said = f"{earlier.input.path} {how} since this run began: {_described(changes)}"
    if before == after:
        directory.adopt_digests()
        return notes
    if not is_allowed:
        raise RunDirectoryError(
            f"{directory.path}: {said}. {setting('changed_input')} continues with it as it is now"
            f" (what was sent and is unchanged is not sent again), {setting('overwrite')} starts"
            f" again, {_cure()}"
        )
    if directory.files.results.exists():
        # From here on the log speaks of an input that is known by no SHA-256 until all is done:
        # whatever comes between, and whichever input is there then, rows are told by content.
        unknown = replaced(earlier, input=replaced(earlier.input, sha256=""))
        directory.write_summary(unknown)
        renumber_journal(directory.files.results, changes.kept, directory.files.free_results())
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
    changed = ", ".join(
        setting(_SETTINGS.get(name, name)) for name in names if "sha256" not in name
    )
    others = f"what was recognised, {setting('value_map')} or {setting('now')}"
    return f"is read in another way ({changed or others})"


def _described(changes: Changes) -> str:
    parts = []
    for rows, verb, where in (
        (changes.changed, "changed", ""),
        (changes.added, "added", ""),
        (changes.removed, "removed", ", as they were numbered"),
    ):
        if rows:
            named = ", ".join(map(str, rows[:_NAMED])) + (", …" if len(rows) > _NAMED else "")
            parts.append(f"{count(len(rows), 'row')} {verb} ({named}{where})")
    return ", ".join(parts) or "the same rows, written or ordered in another way"


def _server(base_url: str) -> str:
    """What tells one server from another: all sandboxes of this machine are one."""
    host = urlsplit(base_url).hostname or ""
    return "this machine" if is_loopback(host) else base_url
