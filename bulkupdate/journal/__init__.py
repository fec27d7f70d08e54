"""Write results to the run directory, and read them back.

::

    results ──▶ recorder ──▶ results.jsonl     the log: a line for each settled row
                ledger       failed.*          the unsuccessful rows
                             summary.json      input, target and counts of the run
                             traffic.jsonl     requests over time
                             rows.digest       two hashes for each row of the input
    images  ─────────────▶  before.jsonl      what requests overwrite, before they are sent
"""

from bulkupdate.journal.causes import Cause, Causes, kind_of
from bulkupdate.journal.changed import (
    OTHER_OWNERS,
    ChangeCounts,
    Settlement,
    TaskChange,
    count_changes,
    read_steps,
)
from bulkupdate.journal.comparison import Changes, compare
from bulkupdate.journal.digests import CheckedRows, DigestFile, Digests
from bulkupdate.journal.directory import Mode, RunDirectory, at_rest
from bulkupdate.journal.exitcodes import ExitCode, exit_code
from bulkupdate.journal.files import forget_cached, published, replace_file, sha256
from bulkupdate.journal.images import Image, ImagesFile, in_order, read_images
from bulkupdate.journal.ledger import Ledger
from bulkupdate.journal.past import End, PastRun, Unread, holds_run, past_runs
from bulkupdate.journal.recorder import Recorder
from bulkupdate.journal.removal import Removed, age, remove_runs
from bulkupdate.journal.results import (
    line_offsets,
    read_journal,
    read_lines,
    renumber_journal,
    repair_journal,
)
from bulkupdate.journal.runfiles import RunFiles, is_known
from bulkupdate.journal.summary import AccountSummary, Summary, read_summary
from bulkupdate.journal.traffic import (
    LONGEST_SAMPLE,
    Sample,
    TrafficLog,
    read_samples,
    sample_length,
)

__all__ = [
    "LONGEST_SAMPLE",
    "OTHER_OWNERS",
    "AccountSummary",
    "Cause",
    "Causes",
    "ChangeCounts",
    "Changes",
    "CheckedRows",
    "DigestFile",
    "Digests",
    "End",
    "ExitCode",
    "Image",
    "ImagesFile",
    "Ledger",
    "Mode",
    "PastRun",
    "Recorder",
    "Removed",
    "RunDirectory",
    "RunFiles",
    "Sample",
    "Settlement",
    "Summary",
    "TaskChange",
    "TrafficLog",
    "Unread",
    "age",
    "at_rest",
    "compare",
    "count_changes",
    "exit_code",
    "forget_cached",
    "holds_run",
    "in_order",
    "is_known",
    "kind_of",
    "line_offsets",
    "past_runs",
    "published",
    "read_images",
    "read_journal",
    "read_lines",
    "read_samples",
    "read_steps",
    "read_summary",
    "remove_runs",
    "renumber_journal",
    "repair_journal",
    "replace_file",
    "sample_length",
    "sha256",
]
