"""The file beside a report that holds every change of its run."""

import codecs
import contextlib
from collections.abc import Iterator
from pathlib import Path

from bulkupdate.errors import ConfigError, JournalError
from bulkupdate.journal import RunFiles, Summary, published
from bulkupdate.reader import Format, write_table
from bulkupdate.report.changes import HEADER, Changes, ChangesTable, changed_tasks

#: What such a file begins with.
_BEGIN = codecs.BOM_UTF8 + ",".join(HEADER).encode()


class ChangesFile:
    """The file of changes beside a report.

    Args:
        report: the path of the report.
        files: the files of its run.
        summary: the summary of the run.

    Attributes:
        path: the path of the file: `changes.csv` in the run directory, and `NAME.changes.csv` for
            another report `NAME.html`.
    """

    def __init__(self, report: Path, files: RunFiles, summary: Summary) -> None:
        self._files, self._summary = files, summary
        self._is_own = report.resolve() == files.report.resolve()
        stem = report.stem if report.suffix.lower() in (".html", ".htm") else report.name
        self.path = files.changes if self._is_own else report.with_name(f"{stem}.changes.csv")

    @contextlib.contextmanager
    def written(self) -> Iterator[Changes]:
        """Write the file, which gets its name when the block ends without an error.

        Yields:
            What it holds.

        Raises:
            ConfigError: another file has its name, or it can't be written beside the report.
            JournalError: the files of the run can't be read, or it can't be written among them.
        """
        mode = self._checked_mode()
        try:
            with published(self.path, overwrite=True) as part:
                part.chmod(mode)
                table = ChangesTable(self._summary)
                with part.open("wb") as to:
                    write_table(to, Format.CSV, "", table.rows(changed_tasks(self._files)))
                yield table.changes(self.path.name)
        except ConfigError as error:
            if self._is_own:
                raise JournalError(str(error)) from error
            raise

    def _checked_mode(self) -> int:
        """The mode of the file that is there; else that of a private file.

        Raises:
            ConfigError: the file that is there is none of this kind.
        """
        if not self.path.exists():
            return 0o600
        try:
            if not self._is_own and not self._is_of_a_report():
                raise ConfigError(
                    f"{self.path} is there, and the changes would replace it: name another report"
                )
            return self.path.stat().st_mode & 0o777
        except OSError as error:
            raise ConfigError(f"{self.path} can't be read: {error.strerror}") from error

    def _is_of_a_report(self) -> bool:
        input_ = Path(self._summary.input.path)
        if input_.exists() and self.path.samefile(input_):
            return False
        with self.path.open("rb") as file:
            return file.read(len(_BEGIN)) == _BEGIN


def unwritten(files: RunFiles, summary: Summary) -> Changes:
    """What a run has changed, without a file.

    Raises:
        JournalError: the files of the run can't be read.
    """
    table = ChangesTable(summary)
    for _ in table.rows(changed_tasks(files)):
        pass
    return table.changes()
