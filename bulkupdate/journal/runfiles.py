"""The names of a run directory's files.

::

    edits.run/
      results.jsonl   one line for each settled row
      failed.csv      the rows to fix and run again (or failed.jsonl, as the input)
      summary.json    what was read, where it went, counts that add up
      traffic.jsonl   how many requests were sent when, for charts
      report.html     all of it, for people to read; made when it is asked for
      check.json      what checking the input found, so that resuming need not check again
      rows.digest     two hashes of each row of the input, so that an edit is noticed
      stdin.csv       a copy of standard input, where that was the input (or stdin.jsonl, .tsv)
      results.1.jsonl the log before the run was resumed with an edited input
      failed.1.csv    a failed file that somebody had edited
"""

import re
from pathlib import Path

from bulkupdate.reader import Format

_FORMATS = "|".join(Format)
_EDITED = rf"failed\.\d+\.({_FORMATS})"
_LEFT = (
    r"results(\.\d+)?\.jsonl|results\.jsonl\.part|(summary|check)\.json|rows\.digest|traffic\.jsonl"
    rf"|\.?report\.html(\.\w+)?|(failed|stdin)\.({_FORMATS})|failed\.part\.({_FORMATS})|{_EDITED}"
)
#: A session that was killed at the wrong moment leaves these, and the next one removes them.
_SCRAPS = (
    r"stdin\.part|(summary|check)\.json\.part|\.(summary|check)\.json\.\w+"
    r"|rows\.(digest\.part|parked)"
)


class RunFiles:
    """Where the files of a run are.

    Args:
        path: the run directory.

    Attributes:
        results: the results log.
        results_part: a log that is to replace it.
        summary: how the run stands or ended.
        traffic: how many requests were sent when.
        report: the page for people.
        check: what checking the input found.
        digests: the digests of the input's rows.
        digests_part: likewise, while the rows are read.
        stdin_part: a copy of standard input, while it is made.
        parked: rows that wait for an earlier one of their task.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = path / "results.jsonl"
        self.results_part = path / "results.jsonl.part"
        self.summary = path / "summary.json"
        self.traffic = path / "traffic.jsonl"
        self.report = path / "report.html"
        self.check = path / "check.json"
        self.digests = path / "rows.digest"
        self.digests_part = path / "rows.digest.part"
        self.stdin_part = path / "stdin.part"
        self.parked = path / "rows.parked"

    def failed(self, format_: Format) -> Path:
        """The file of rows of such an input that did not succeed."""
        return self.path / f"failed.{format_.failed}"

    def failed_part(self, format_: Format) -> Path:
        """Likewise, while it is made."""
        return self.path / f"failed.part.{format_.failed}"

    def stdin(self, format_: str) -> Path:
        """The copy of standard input."""
        return self.path / f"stdin.{format_}"

    def free_results(self) -> Path:
        """A free name for a results log that is kept beside its successor."""
        return self._free("results", ".jsonl")

    def free_failed(self, path: Path) -> Path:
        """A free name for a file of failed rows that somebody has edited."""
        return self._free("failed", path.suffix)

    def _free(self, stem: str, suffix: str) -> Path:
        number = 1
        while (path := self.path / f"{stem}.{number}{suffix}").exists():
            number += 1
        return path


def is_known(name: str) -> bool:
    """Whether a file of this name may be one of a run."""
    return is_of_a_run(name) or is_scrap(name)


def is_of_a_run(name: str) -> bool:
    """Whether it is one that a run leaves behind when it ends."""
    return re.fullmatch(_LEFT, name) is not None


def is_scrap(name: str) -> bool:
    """Whether it is one that only a session that was killed leaves behind."""
    return re.fullmatch(_SCRAPS, name) is not None


def is_edited_failed(name: str) -> bool:
    """Whether it is a file of failed rows that was kept because somebody had edited it."""
    return re.fullmatch(_EDITED, name) is not None
