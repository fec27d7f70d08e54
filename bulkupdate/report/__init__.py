"""The report of a run: one HTML file for readers who did not start the run.

It needs the extra `[report]`: Jinja2 and matplotlib.
"""

from importlib import import_module
from pathlib import Path

from bulkupdate.errors import BulkUpdateError, ConfigError, JournalError
from bulkupdate.journal import RunFiles, is_known, replace_file

__all__ = ["check_installed", "write_report"]


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
