"""Files that a flag names: refused before anything is sent if they can't be what is meant."""

import os
import stat
from pathlib import Path

from bulkupdate.errors import ConfigError, setting
from bulkupdate.journal import RunFiles, is_known

#: Pipes that a shell makes for `--api-key-file <(…)`. They have a writer: reading them ends.
_PIPES_OF_A_SHELL = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


def check_output(name: str, path: Path) -> None:
    """Check that a command may create a file, or replace it.

    A link or a device would lead the text elsewhere, and a pipe would wait for a reader.

    Args:
        name: the name of the setting.
        path: the path of the file.

    Raises:
        ConfigError: it is not a file, it has other names too, or it is a file of a run.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        status = None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its name has a null character"
        raise ConfigError(f"{setting(name)} {path} can't be written: {why}") from None
    if status is not None and (kind := _kind(status)):
        raise ConfigError(f"{setting(name)} {path} is {kind}: name a file")
    if is_known(path.name) and RunFiles(path.resolve().parent).summary.exists():
        raise ConfigError(f"{setting(name)} {path} is a file of a run: name another file")
    if status is None and not os.access(path.parent, os.W_OK | os.X_OK):
        advice = f"check that {path.parent} exists and is writable"
        raise ConfigError(f"{setting(name)} {path} can't be written: {advice}")


def check_key_file(path: Path) -> None:
    """Check that reading a key file can't wait for ever.

    Raises:
        ConfigError: it is a pipe, a device or something else that is no file.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # The reader of the key says why it can't be read.
    if stat.S_ISFIFO(mode) and str(path).startswith(_PIPES_OF_A_SHELL):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ConfigError(f"{setting('api_key_file')} {path} is not a regular file")


def _kind(status: os.stat_result) -> str | None:
    """What is there instead of a file of this one name; None for such a file."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return "a link" if status.st_nlink > 1 else None
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device"
