"""Checks before a run is resumed: the same server, and the same or an edited input."""

from array import array
from urllib.parse import urlsplit

from bulkupdate.codec import replaced
from bulkupdate.errors import JournalError, RunDirectoryError, count, setting
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
from bulkupdate.lemlist.endpoint import is_loopback, normal_url
from bulkupdate.models import Outcome, Result
from bulkupdate.reader import InputInfo
from bulkupdate.session.settings import RunConfig
from bulkupdate.stop import Stop

#: Name in `InputInfo.options` → name of the setting, if they differ.
_SETTINGS = {
    "map": "mapping",
    "set": "constants",
    "date_format": "date_formats",
    "accounts_sha256": "accounts",
}

#: Most row numbers that a message about an edited input names.
_NAMED = 10


def _cure() -> str:
    return f"{setting('out')} names another directory"


def check_server(directory: RunDirectory, earlier: Summary, config: RunConfig) -> None:
    """Refuse to resume a run with another server, or in another way.

    Raises:
        RunDirectoryError: the run used another server, or was compared and is not now.
    """
    base_url = config.base_url
    if earlier.sandbox != config.sandbox:
        went = "the sandbox" if earlier.sandbox else earlier.base_url
        goes = "the sandbox" if config.sandbox else base_url
        raise RunDirectoryError(
            f"the run in {directory.path} used {went}, and this command uses {goes}: {_cure()}"
        )
    if earlier.compared != config.compare:
        did = "with" if earlier.compared else "without"
        raise RunDirectoryError(
            f"the run in {directory.path} began {did} {setting('compare')}: continue it so, or"
            f" {_cure()}"
        )
    if earlier.has_accounts != (config.accounts is not None):
        did = "with" if earlier.has_accounts else "without"
        raise RunDirectoryError(
            f"the run in {directory.path} began {did} {setting('accounts')}: continue it so, or"
            f" {_cure()}"
        )
    for name, (used, uses) in _servers(earlier, config).items():
        if server_of(used) != server_of(uses):
            of = f" for account {name}" if name else ""
            raise RunDirectoryError(
                f"the run in {directory.path} used {used}{of}, and this command uses"
                f" {uses}: {_cure()}"
            )


def _servers(earlier: Summary, config: RunConfig) -> dict[str, tuple[str, str]]:
    """The URL before and the URL now, by account."""
    if config.accounts is None:
        return {"": (earlier.base_url, config.base_url)}
    now = {name: account.base_url for name, account in config.accounts.items()}
    known = earlier.known_accounts
    return {name: (one.base_url, now[name]) for name, one in known.items() if name in now}


def is_same_input(earlier: InputInfo, info: InputInfo) -> bool:
    """Whether an input surely has the same rows as before: the same bytes, read the same way."""
    return earlier.sha256 == info.sha256 and _reading(earlier) == _reading(info)


def _reading(info: InputInfo) -> tuple[object, ...]:
    """Everything except the bytes that determines the rows of an input."""
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
    """Continue a run with an edited input, whose digests have just been written.

    A settled row stays settled even if its number has changed, unless an edit that is sent now must
    come before it. The log is renumbered, and the old log is kept under another name.

    Args:
        directory: the run directory.
        earlier: the summary of the previous session.
        info: the present input.
        stop: ends the work early.
        is_allowed: whether the user has allowed an edited input.

    Returns:
        Notes for the user.

    Raises:
        RunDirectoryError: an edited input is not allowed. The message says what has changed.
        JournalError: the log can't be read or renumbered. It is unchanged.
        RunStoppedError: the stop was set.
    """
    notes: list[str] = []
    ledger = Ledger()
    before = _earlier_digests(directory)
    after = Digests.read(directory.files.digests_part)
    if earlier.input.sha256 and before == after:
        directory.adopt_digests()
        return notes
    if directory.files.results.exists():
        note = repair_journal(directory.files.results)
        notes += [note] if note else []
        for _, result in read_journal(directory.files.results):
            stop.check()
            ledger.record(result)
            before.correct(result)
            if not earlier.input.sha256 and _lacks_content(result):
                # A crash came after the log was renumbered and before the digests were adopted.
                before.forget(result.row)
    changes = compare(before, after, ledger.settling_line)
    how = _difference(earlier.input, info)
    what = f"{earlier.input.path} {how} since this run began: {_described(changes)}"
    if before == after:
        directory.adopt_digests()
        return notes
    if not is_allowed:
        raise RunDirectoryError(
            f"{directory.path}: {what}. {setting('changed_input')} continues with it as it is now"
            f" (what was sent and is unchanged is not sent again), {setting('overwrite')} starts"
            f" again, {_cure()}"
        )
    if directory.files.results.exists():
        # Until all is done, the summary has no SHA-256 of the input. If a crash comes first, the
        # next session compares the rows by content, whatever the input is then.
        unknown = replaced(earlier, input=replaced(earlier.input, sha256=""))
        directory.write_summary(unknown)
        renumber_journal(directory.files.results, changes.kept, directory.files.free_results())
    directory.adopt_digests()
    return [*notes, what]


def _lacks_content(result: Result) -> bool:
    """Whether the log has no line with the content of a settled row.

    The row went with another one, or comparing it with its task settled it, and nothing was sent.
    """
    is_merged = bool(result.merged or result.sent_with or result.was_merged)
    is_unsent = result.outcome is Outcome.CONFLICT or result.reason is not None
    return is_merged or is_unsent or result.compared


def _earlier_digests(directory: RunDirectory) -> Digests:
    """The digests of the earlier input. Without them, what the log holds is still known."""
    try:
        return Digests.read(directory.files.digests)
    except JournalError:
        return Digests(array("Q"))


def _difference(earlier: InputInfo, info: InputInfo) -> str:
    """The difference between two inputs, in words."""
    if earlier.sha256 != info.sha256:
        return "has been edited"
    names = sorted(
        name
        for name in earlier.options.keys() | info.options.keys()
        if earlier.options.get(name) != info.options.get(name)
    )
    changed = ", ".join(
        setting(_SETTINGS.get(name, name)) for name in names if name != "value_map_sha256"
    )
    others = f"what was recognised, {setting('value_map')} or {setting('now')}"
    return f"is read in another way ({changed or others})"


def _described(changes: Changes) -> str:
    parts = []
    for rows, verb, where in (
        (changes.changed, "changed", ""),
        (changes.added, "added", ""),
        (changes.removed, "removed", ", by their old numbers"),
    ):
        if rows:
            named = ", ".join(map(str, rows[:_NAMED])) + (", …" if len(rows) > _NAMED else "")
            parts.append(f"{count(len(rows), 'row')} {verb} ({named}{where})")
    return ", ".join(parts) or "the same rows, written or ordered in another way"


def server_of(base_url: str) -> str:
    """The identity of a server. All sandboxes of this machine are the same server."""
    host = urlsplit(base_url).hostname or ""
    # Older directories have URLs as they were typed.
    return "this machine" if is_loopback(host) else normal_url(base_url)
