"""The names of the files in a run directory.

::

    edits.run/
      results.jsonl   one line for each settled row
      failed.csv      the rows to fix and run again (or .jsonl, .tsv, .xlsx, like the input)
      summary.json    the input, the target and the counts of the run
      traffic.jsonl   the number of requests over time, for charts
      report.html     the report, if the user asked for one
      changes.csv     what was changed, beside the report
      check.json      the results of the check, so that resuming need not check again
      rows.digest     two hashes for each row of the input, to detect edits of it
      stdin.csv       a copy of standard input, if it was the input (or stdin.jsonl, .tsv)
      edits.jsonl     what the rules have made of the live tasks, if the input was a file of rules
      before.jsonl    what the run has overwritten, with --compare
      fleet.json      the run of a fleet that was collected here, and up to where
      results.1.jsonl the earlier log, if the run was resumed with an edited input
      failed.1.csv    an earlier file of failed rows that a user has edited
"""

import re
from pathlib import Path

from bulkupdate.reader import Format

_FORMATS = "|".join(Format)
_EDITED = rf"failed\.\d+\.({_FORMATS})"
_EARLIER = r"results\.(\d+)\.jsonl"
_LEFT = (
    r"(results(\.\d+)?|before|edits|traffic)\.jsonl|results\.jsonl\.part"
    r"|(summary|check|fleet)\.json|rows\.digest"
    rf"|\.?(report\.html|changes\.csv)(\.\w+)?|(failed|stdin)\.({_FORMATS})|failed\.part\.({_FORMATS})|{_EDITED}"
)
#: Names of files that a killed session may leave. The next session removes them.
_SCRAPS = (
    r"stdin\.part|edits\.jsonl\.part|(summary|check|fleet)\.json\.part"
    r"|\.(summary|check|fleet)\.json\.\w+"
    r"|rows\.(digest\.part|parked|spool)|tasks\.live"
)


class RunFiles:
    """The paths of the files of a run.

    Args:
        path: the run directory.

    Attributes:
        path: the run directory.
        results: the results log.
        summary: the state and the counts of the run.
        traffic: the number of requests over time.
        report: the report.
        changes: what was changed, beside the report.
        check: the results of the check.
        digests: the digests of the input's rows.
        digests_part: the incomplete digests, during the check.
        images: what the run overwrites.
        fleet: which run of a fleet was collected here, and up to where.
        live: the live tasks, while the run needs them.
        stdin_part: an incomplete copy of standard input.
        edits: what rules have made of the live tasks.
        edits_part: an incomplete file of that, or one of a run that has not begun.
        parked: rows that wait for an earlier row of their task.
        spool: the rows of each account.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = path / "results.jsonl"
        self.summary = path / "summary.json"
        self.traffic = path / "traffic.jsonl"
        self.report = path / "report.html"
        self.changes = path / "changes.csv"
        self.check = path / "check.json"
        self.digests = path / "rows.digest"
        self.digests_part = path / "rows.digest.part"
        self.images = path / "before.jsonl"
        self.fleet = path / "fleet.json"
        self.live = path / "tasks.live"
        self.stdin_part = path / "stdin.part"
        self.edits = path / "edits.jsonl"
        self.edits_part = path / "edits.jsonl.part"
        self.parked = path / "rows.parked"
        self.spool = path / "rows.spool"

    def failed(self, format_: Format) -> Path:
        """The file of failed rows for an input in this format."""
        return self.path / f"failed.{format_.failed}"

    def failed_part(self, format_: Format) -> Path:
        """The incomplete file of failed rows, during a rebuild."""
        return self.path / f"failed.part.{format_.failed}"

    def stdin(self, format_: str) -> Path:
        """The copy of standard input in this format."""
        return self.path / f"stdin.{format_}"

    def logs(self) -> list[Path]:
        """The logs of results that are there: earlier ones first, then the present one."""
        names = " ".join(path.name for path in self.path.glob("results.*.jsonl"))
        numbers = sorted(map(int, re.findall(r"\bresults\.(\d+)\.jsonl\b", names)))
        earlier = [self.path / f"results.{number}.jsonl" for number in numbers]
        return [*earlier, self.results] if self.results.exists() else earlier

    def free_results(self) -> Path:
        """An unused path for an earlier results log."""
        return self._free("results", ".jsonl")

    def earlier_results(self) -> list[Path]:
        """The earlier results logs, the oldest first."""
        names = (re.fullmatch(_EARLIER, path.name) for path in self.path.iterdir())
        found = sorted((int(name[1]), name[0]) for name in names if name)
        return [self.path / name for _, name in found]

    def free_failed(self, path: Path) -> Path:
        """An unused path for a file of failed rows that a user has edited."""
        return self._free("failed", path.suffix)

    def _free(self, stem: str, suffix: str) -> Path:
        number = 1
        while (path := self.path / f"{stem}.{number}{suffix}").exists():
            number += 1
        return path


def is_known(name: str) -> bool:
    """Whether a file with this name may belong to a run."""
    return is_of_a_run(name) or is_scrap(name)


def is_of_a_run(name: str) -> bool:
    """Whether a run that ended leaves a file with this name."""
    return re.fullmatch(_LEFT, name) is not None


def is_scrap(name: str) -> bool:
    """Whether only a killed session leaves a file with this name."""
    return re.fullmatch(_SCRAPS, name) is not None


def is_edited_failed(name: str) -> bool:
    """Whether this is the name of a kept file of failed rows that a user has edited."""
    return re.fullmatch(_EDITED, name) is not None
