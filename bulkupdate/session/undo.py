"""`undo`: a file of edits that takes runs back, made from their directories alone."""

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bulkupdate import fields
from bulkupdate.errors import (
    ConfigError,
    InputError,
    JournalError,
    RunDirectoryError,
    check_flags,
    setting,
)
from bulkupdate.journal import (
    AccountSummary,
    Ledger,
    RunFiles,
    Summary,
    at_rest,
    published,
    read_images,
    read_lines,
    read_summary,
)
from bulkupdate.models import Row
from bulkupdate.reader import (
    Edit,
    EditsFile,
    Format,
    Input,
    LeftOut,
    ReadOptions,
    format_to_write,
)
from bulkupdate.session.editsfile import write_edits
from bulkupdate.session.overwritten import (
    FIELDS,
    LoggedWrite,
    Obstacle,
    Overwritten,
    TakenBack,
    TaskKey,
    take_back,
)
from bulkupdate.session.resume import server_of

#: Number of rules that a message names.
_SHOWN = 10

_ONE_BY_ONE = "Take them back one by one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What a file takes back, and what it can't.

    Attributes:
        tasks: number of tasks in the file.
        counts: number of tasks by field.
        left_out: the fields that can't be taken back, by reason.
        changed: the fields that another hand, or a row of no chosen rule, changed between two
            writes. They go back to that change, and no further.
        doubtful: the fields where another value than the expected one may stand, since it is not
            known whether the last requests were applied. If one stands there, the row is a
            conflict, and goes back once it is planned with `renew`.
        only_jsonl: the values for which tasks were left out, and that a JSONL file holds.
        unwritable: the values for which tasks were left out, and that no file of edits holds.
        rows_left: the rows that an unfinished run still has, by its directory.
        unknown_rule: the fields that requests without a result may have set, if no file tells the
            rules of their rows. Empty without `rules`.
        accounts: number of tasks in the file by account; None where the runs had one key.
        newest: the time of the last request of the runs, UTC, ISO 8601; "" without one. A server
            may list a write late, and a row is then taken for already so: send the file two minutes
            after it.
    """

    tasks: int
    counts: dict[str, int]
    left_out: dict[Obstacle, LeftOut]
    changed: LeftOut
    doubtful: LeftOut
    only_jsonl: LeftOut
    unwritable: LeftOut
    rows_left: dict[str, int]
    unknown_rule: LeftOut
    accounts: dict[str, int] | None = None
    newest: str = ""


def undo_run(
    directories: str | Path | Iterable[str | Path],
    path: str | Path,
    *,
    rules: str | Iterable[str] = (),
    overwrite: bool = False,
) -> Undone:
    """Write a file of edits that takes runs back.

    It sends nothing, and needs no key. `run` with `compare` sends the file: each row expects what
    the runs have left, so that a task that was changed since stays as it is. Where the runs had
    accounts, each row names that of its task.

    Args:
        directories: the directories of the runs, which were made with `compare`.
        path: the file: .csv, .jsonl or .xlsx.
        rules: the names of rules, to take back their rows only; none to take back every row.
        overwrite: whether to replace a file that exists.

    Raises:
        ConfigError: the file exists, can't be written, or has another suffix; or no run has one of
            the rules.
        RunDirectoryError: a directory holds no run, or one that can't be taken back; or the runs
            are of different servers or teams, or only some of them had accounts.
        RunInUseError: one of the runs is in progress.
        JournalError: a file of a run can't be read, or the new file can't be written.
    """
    check_flags(overwrite=overwrite)
    names = [directories] if isinstance(directories, str | Path) else directories
    path, format_ = Path(path), format_to_write(Path(path))
    with published(path, overwrite=overwrite) as part:
        chosen = [rules] if isinstance(rules, str) else [*rules]
        return undo_to(map(Path, names), part, format_, rules=chosen)


def undo_to(
    directories: Iterable[Path],
    part: Path,
    format_: Format,
    *,
    rules: Collection[str] = (),
    has_mark: bool = True,
) -> Undone:
    """Write the edits to a file that nobody else uses yet; see `undo_run`.

    Args:
        directories: the directories of the runs.
        part: the file.
        format_: CSV, JSONL or XLSX.
        rules: the names of rules, to take back their rows only; none to take back every row.
        has_mark: whether a CSV file begins with a byte order mark.
    """
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(at_rest(path)) for path in _different(directories)]
        runs = [_Run(files, read_summary(files.path)) for files in found]
        has_accounts = _check(runs)
        overwritten = stack.enter_context(contextlib.closing(Overwritten()))
        rows_left = {}
        for number, run in enumerate(runs):
            overwritten.add_images(number, read_images(run.files.images))
            if left := _add_results(overwritten, number, run):
                rows_left[str(run.files.path)] = left
        if rules:
            _check_rules(rules, _add_rules(overwritten, runs))
        names, told = _take_back(overwritten, rules)
        newest = overwritten.newest
        file = EditsFile(
            format_,
            names,
            expected=names,
            is_whole=True,
            has_mark=has_mark,
            has_accounts=has_accounts,
        )
        write_edits(file, part, overwritten.edits())
    return Undone(
        tasks=file.rows,
        counts={name: file.counts[name] for name in names if file.counts[name]},
        left_out={one: told.left_out[one] for one in Obstacle if one in told.left_out},
        changed=told.changed,
        doubtful=told.doubtful,
        only_jsonl=file.left_out,
        unwritable=file.unwritable,
        rows_left=rows_left,
        unknown_rule=told.unknown_rule,
        accounts=dict(file.accounts) if has_accounts else None,
        newest=newest,
    )


class _Run(NamedTuple):
    files: RunFiles
    summary: Summary


def _different(directories: Iterable[Path]) -> Iterable[Path]:
    found = {path.resolve(): path for path in directories}
    if not found:
        raise ConfigError("name the directories of the runs to take back")
    return found.values()


def _check(runs: list[_Run]) -> bool:
    """Check that runs can be taken back, and together. Return whether they had accounts.

    Raises:
        RunDirectoryError: they can't.
    """
    for files, summary in runs:
        if summary.sandbox:
            raise RunDirectoryError(
                f"{files.path}: its sandbox ended with the run: there is nothing to take back"
            )
        if not summary.compared and not files.images.exists():
            raise RunDirectoryError(
                f"{files.path}: the run was made without {setting('compare')}, so that it is not"
                " known what it has overwritten: it can't be taken back"
            )
    kinds = {run.summary.has_accounts: run.files.path for run in reversed(runs)}
    if len(kinds) > 1:
        raise RunDirectoryError(
            f"{kinds[True]} had accounts, and {kinds[False]} one key. {_ONE_BY_ONE}"
        )
    parts = [(run, name, part) for run in runs for name, part in _parts(run.summary).items()]
    for account in dict.fromkeys(name for _, name, _ in parts):
        of_it = [(run, part) for run, name, part in parts if name == account]
        of = f", for account {account}" if account else ""
        _check_same("server", of, [(run, server_of(part.base_url)) for run, part in of_it])
        _check_same("team", of, [(run, part.team) for run, part in of_it])
    return True in kinds


def _parts(summary: Summary) -> Mapping[str, Summary | AccountSummary]:
    """The part of each account of a run; of a run with one key, it as a whole, under ""."""
    return summary.known_accounts if summary.has_accounts else {"": summary}


def _check_same(what: str, of: str, found: list[tuple[_Run, str | None]]) -> None:
    """Check that runs are of one server, or of one team as far as it is known."""
    first = {name: run.files.path for run, name in reversed(found) if name is not None}
    if len(first) > 1:
        named = ", ".join(f"{path} ({name})" for name, path in reversed(first.items()))
        raise RunDirectoryError(f"the runs are of more than one {what}{of}: {named}. {_ONE_BY_ONE}")


def _add_results(overwritten: Overwritten, number: int, run: _Run) -> int:
    """Add what the logs of a run hold. Return the number of rows that the run still has."""
    ledger = Ledger()
    for log in run.files.logs():
        # A session that was killed may have left an incomplete last line.
        for results in read_lines(log, LoggedWrite, whole_lines=True):
            overwritten.add_results(number, results)
            if log == run.files.results:
                ledger.record(*results)
    return run.summary.input.rows - ledger.settled + ledger.unsettled


def _add_rules(overwritten: Overwritten, runs: Iterable[_Run]) -> dict[str, None]:
    """Add the rule of each row. Return the names of all rules.

    The line of a result tells it. A row whose request was killed has none: `edits.jsonl` tells it.
    """
    names: dict[str, None] = {}
    for number, run in enumerate(runs):
        for log in run.files.logs():
            for results in read_lines(log, LoggedWrite, whole_lines=True):
                for one in results:
                    task = TaskKey(one.account or "", one.id)
                    overwritten.add_rule(number, one.sent_with or one.row, task, one.rule)
                    names.update({one.rule: None} if one.rule else {})
        for row in _night_rows(run):
            task = TaskKey(row.account, row.id)
            overwritten.add_rule(number, row.number, task, row.rule)
            names.update({row.rule: None} if row.rule else {})
    return names


def _night_rows(run: _Run) -> Iterator[Row]:
    """The rows that rules have made for a run; none where it had no file of rules.

    Raises:
        JournalError: they can't be read.
    """
    edits, accounts = run.files.edits, run.summary.known_accounts
    if not edits.exists():
        return
    options = ReadOptions(
        format=Format.JSONL,
        people=True,
        accounts=tuple(accounts) if run.summary.has_accounts else None,
    )
    try:
        with Input.open(edits, options=options) as source:
            yield from source.rows()
    except InputError as error:
        raise JournalError(str(error)) from error


def _check_rules(rules: Iterable[str], known: Collection[str]) -> None:
    """Check that the runs have each of some rules.

    Raises:
        ConfigError: one is in none of them.
    """
    for name in rules:
        if name not in known:
            named = [*map(repr, islice(known, _SHOWN)), *["…"][: len(known) > _SHOWN]]
            raise ConfigError(
                f"{setting('rules')}: no row is of a rule {name!r}{fields.suggestion(name, known)}"
                f" (rules of these runs: {', '.join(named) or 'none'})"
            )


@dataclass(frozen=True, slots=True)
class _Found:
    left_out: defaultdict[Obstacle, LeftOut] = field(default_factory=lambda: defaultdict(LeftOut))
    changed: LeftOut = field(default_factory=LeftOut)
    doubtful: LeftOut = field(default_factory=LeftOut)
    unknown_rule: LeftOut = field(default_factory=LeftOut)

    def add(self, task: TaskKey, taken: TakenBack) -> None:
        """Add what is to be told of a task."""
        for name, obstacle in taken.left_out.items():
            self.left_out[obstacle].add(task.id, name, task.account)
        for name in taken.changed:
            self.changed.add(task.id, name, task.account)
        for name in taken.doubtful:
            self.doubtful.add(task.id, name, task.account)
        for name in taken.unknown:
            self.unknown_rule.add(task.id, name, task.account)


def _take_back(overwritten: Overwritten, rules: Collection[str]) -> tuple[tuple[str, ...], _Found]:
    """Store the edit of each task. Return the fields, and what is to be told."""
    used: set[str] = set()
    found = _Found()
    for task, events in overwritten.tasks():
        taken = take_back(events, rules)
        found.add(task, taken)
        if taken.values:
            used.update(taken.values)
            edit = Edit(task.id, taken.values, expect=taken.expect, account=task.account)
            overwritten.keep(edit)
    return tuple(name for name in FIELDS if name in used), found
