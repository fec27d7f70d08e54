"""The report of a run: one HTML file for readers who did not start the run.

It needs the extra `[report]`: Jinja2 and matplotlib.
"""

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from bulkupdate.errors import BulkUpdateError, ConfigError, JournalError, setting
from bulkupdate.journal import (
    PastRun,
    RunFiles,
    Unread,
    holds_run,
    is_known,
    past_runs,
    replace_file,
)
from bulkupdate.ui.past import listed

__all__ = ["NIGHTS", "check_installed", "write_nights", "write_report"]

#: The name of the page of many runs, in their folder.
NIGHTS = "nights.html"

#: What such a page has near its beginning, and how many bytes this is.
_MADE = b'<meta name="generator" content="bulkupdate '
_HEAD = 1000


def check_installed() -> None:
    """Check that the packages for a report are installed.

    Raises:
        ConfigError: a package is missing. The message says how to install it.
    """
    try:
        import_module("bulkupdate.report.page")
    except ImportError as error:
        raise ConfigError(
            f"a report needs the extra [report] ({error}): pip install jinja2 matplotlib"
        ) from None


def write_report(directory: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of a run, whole or not at all. An existing report is replaced.

    What the run has changed is written beside it: `changes.csv`, or `NAME.changes.csv` for a report
    that is `NAME.html`. A pipe or a device as `output` gets the report alone.

    Args:
        directory: the run directory. Its run may have ended, have been killed, or still be running.
        output: the path of the report; None for `report.html` in the run directory.

    Returns:
        The path of the report.

    Raises:
        ConfigError: a package for reports is missing, or `output` can't be written.
        RunDirectoryError: the directory holds no run.
        JournalError: the files of the run can't be read, or its report can't be written.
    """
    check_installed()
    # Imported here: they load matplotlib.
    from bulkupdate.report.beside import ChangesFile, unwritten
    from bulkupdate.report.history import read_history
    from bulkupdate.report.page import page

    directory = Path(directory)
    own = RunFiles(directory)
    path = own.report if output is None else _checked(Path(output), directory)
    history = read_history(directory)
    if output is not None and path.exists() and _is_input(path, history.summary.input.path):
        raise ConfigError(f"{output} is the run's input: choose another file")
    kind = JournalError if output is None else ConfigError
    if path.exists() and not path.is_file():
        changes = unwritten(own, history.summary)
        _write(path, page(history._replace(changes=changes)), kind)
    else:
        with ChangesFile(path, own, history.summary).written() as changes:
            _write(path, page(history._replace(changes=changes)), kind)
    return path


def write_nights(
    folders: str | Path | Iterable[str | Path],
    output: str | Path | None = None,
    *,
    timezone: str | None = None,
) -> Path:
    """Write one page about many runs: a calendar, what each did, who got tasks, and what failed.

    Each run is linked to its own report, where it has one.

    Args:
        folders: folders that hold run directories, or run directories.
        output: the path of the page; None for `nights.html` in the folder that holds all runs.
        timezone: the time zone of all times; None for that of the newest run that has one, else
            UTC.

    Returns:
        The path of the page.

    Raises:
        ConfigError: a package for reports is missing, the time zone is unknown, or the page can't
            be written there.
        RunDirectoryError: there is no run, or a folder can't be read.
    """
    check_installed()
    # Imported here: they load Jinja2.
    from bulkupdate.report.nights import Nights
    from bulkupdate.report.nightspage import linked_from, nights_page

    paths = [Path(one) for one in ([folders] if isinstance(folders, str | Path) else folders)]
    unread: list[Unread] = []
    inputs: set[str] = set()
    nights = Nights(_noting(inputs, listed(past_runs(paths), unread)), timezone)
    nights.unread += unread
    home = _home(paths)
    path = _free_page(home / NIGHTS) if output is None else _checked_page(Path(output))
    if path.exists() and any(_is_input(path, name) for name in inputs):
        raise ConfigError(f"{path} is the input of a run: choose another file")
    _write(path, nights_page(nights, home, linked_from(path)), ConfigError)
    return path


def _noting(inputs: set[str], runs: Iterable[PastRun]) -> Iterator[PastRun]:
    """The runs, as they come. The names of their inputs are added to a set."""
    for run in runs:
        inputs.add(run.summary.input.path)
        yield run


def _home(paths: list[Path]) -> Path:
    """The folder that holds all runs."""
    folders = [one.parent if holds_run(one) else one for one in paths]
    if len({one.resolve() for one in folders}) == 1:
        return folders[0]
    return Path(os.path.commonpath([one.resolve() for one in folders]))


def _free_page(path: Path) -> Path:
    """The path of the page in its folder.

    Raises:
        ConfigError: another file has this name.
    """
    if path.is_symlink() or (path.exists() and not _is_page(path)):
        raise ConfigError(f"{path} is no page of many runs: name another file, {setting('output')}")
    return path


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _MADE in file.read(_HEAD)


def _checked_page(output: Path) -> Path:
    """The path to write `output` to, with a link resolved.

    Raises:
        ConfigError: the path is a file of a run.
    """
    if output.exists() and not output.is_file():
        return output
    path = output.resolve()
    if is_known(path.name) and RunFiles(path.parent).summary.exists():
        raise ConfigError(f"{output} is a file of a run: choose another file")
    return path if output.is_symlink() else output


def _write(path: Path, html: str, kind: type[BulkUpdateError]) -> None:
    try:
        if path.exists() and not path.is_file():
            # A file must not replace a pipe or a device like /dev/stdout.
            path.write_text(html, encoding="utf-8")
        else:
            replace_file(path, html.encode())
    except OSError as error:
        raise kind(f"{path} can't be written: {error.strerror}") from error


def _checked(output: Path, directory: Path) -> Path:
    """The path to write `output` to, with a link resolved.

    Raises:
        ConfigError: the path is another file of this run, or a file of another run.
    """
    if output.exists() and not output.is_file():
        return output
    path = output.resolve()
    is_here = path.parent == directory.resolve()
    is_own = is_here and path.name == RunFiles(directory).report.name
    is_of_a_run = is_known(path.name) and RunFiles(path.parent).summary.exists()
    if not is_own and (is_of_a_run or (is_here and path.exists())):
        raise ConfigError(f"{output} is a file of a run: choose another file")
    return path if output.is_symlink() else output


def _is_input(path: Path, name: str) -> bool:
    input_ = Path(name)
    return input_.exists() and path.samefile(input_)
