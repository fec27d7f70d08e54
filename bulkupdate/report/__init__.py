"""The report of a run: one HTML file that somebody who did not run it understands.

It needs the extra `[report]`: Jinja2 and matplotlib.
"""

from importlib import import_module
from pathlib import Path

from bulkupdate.errors import ConfigError, JournalError
from bulkupdate.journal import RunFiles, replace_file

__all__ = ["check_installed", "write_report"]


def check_installed() -> None:
    """See that what a report is made with is there.

    Raises:
        ConfigError: it is not; the message says how to install it.
    """
    try:
        import_module("bulkupdate.report.page")
    except ImportError as error:
        raise ConfigError(
            f"a report needs more ({error}): pip install 'bulkupdate[report]'"
        ) from None


def write_report(directory: Path, output: Path | None = None) -> Path:
    """Write the report of a run, replacing one that is there, whole or not at all.

    Args:
        directory: the run directory; its run may have ended, have been killed, or be under way.
        output: where to; None for `report.html` in the run directory.

    Returns:
        Where it is.

    Raises:
        ConfigError: what a report is made with is not installed, or `output` can't be written.
        RunDirectoryError: there is no run.
        JournalError: the files of the run can't be read.
    """
    check_installed()
    # Imported here: they load matplotlib.
    from bulkupdate.report.history import read_history
    from bulkupdate.report.page import page

    own = RunFiles(directory).report
    path = own if output is None else _checked(output, directory)
    history = read_history(directory)
    if output is not None and path.exists() and _is_input(path, history.summary.input.path):
        raise ConfigError(f"{output} is the run's input: name another")
    html = page(history)
    try:
        if path.exists() and not path.is_file():
            # A pipe or a device, as /dev/stdout is: not to be replaced by a file.
            path.write_text(html, encoding="utf-8")
        else:
            replace_file(path, html.encode())
    except OSError as error:
        kind = JournalError if output is None else ConfigError
        raise kind(f"{path} can't be written: {error.strerror}") from error
    return path


def _checked(output: Path, directory: Path) -> Path:
    """Where `output` leads to: a link is followed; what the run is made of is not replaced."""
    if output.exists() and not output.is_file():
        return output
    path = output.resolve()
    if (
        path.parent == directory.resolve()
        and path.exists()
        and path.name != RunFiles(directory).report.name
    ):
        raise ConfigError(f"{output} is a file of the run: name another")
    return path if output.is_symlink() else output


def _is_input(path: Path, name: str) -> bool:
    input_ = Path(name)
    return input_.exists() and path.samefile(input_)
