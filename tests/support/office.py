"""LibreOffice, which opens a file and saves it."""

import subprocess
from pathlib import Path

from tests.conftest import needed

#: How a CSV file is opened: comma, quotes, UTF-8, and with texts that look like dates, numbers in
#: another layout or truth values taken for such (`detect special numbers`).
_OPENED = "CSV:44,34,76,1,,1033,false,true"

#: How a file is saved, by its suffix. CSV: comma, quotes, UTF-8, cells as they are shown.
_SAVED = {
    ".csv": "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false",
    ".xlsx": "xlsx",
    ".ods": "ods",
}


def saved(path: Path, suffix: str, directory: Path) -> Path:
    """A file that LibreOffice has opened and saved.

    Args:
        path: the file.
        suffix: the suffix of the new file, which decides its format.
        directory: where the new file goes. LibreOffice keeps its own settings there too.
    """
    opened = [f"--infilter={_OPENED}"] if path.suffix == ".csv" else []
    profile = f"-env:UserInstallation={(directory / 'profile').as_uri()}"
    command = [needed("soffice"), profile, "--headless", *opened, "--convert-to", _SAVED[suffix]]
    done = subprocess.run(
        [*command, "--outdir", str(directory), str(path)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    found = directory / f"{path.stem}{suffix}"
    assert found.exists(), done.stdout + done.stderr
    return found
