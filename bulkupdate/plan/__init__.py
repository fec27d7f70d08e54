"""The preview of a run: the edits that it would send."""

from bulkupdate.plan.checking import Checking
from bulkupdate.plan.duedates import DueDates
from bulkupdate.plan.judge import LATE, Judge, Kind, Verdict, judged_fields
from bulkupdate.plan.live import LiveTask, LiveTasks
from bulkupdate.plan.oddids import OddId
from bulkupdate.plan.people import People
from bulkupdate.plan.preview import Checked, Inspection, Preview, inspect
from bulkupdate.plan.problems import SHOWN_PROBLEMS, Example, ProblemGroup, ProblemsFile
from bulkupdate.plan.rowset import MAX_MERGED, RowSet
from bulkupdate.plan.selection import Selection
from bulkupdate.plan.written import Ours, Written, perhaps_trimmed, wrote

__all__ = [
    "LATE",
    "MAX_MERGED",
    "SHOWN_PROBLEMS",
    "Checked",
    "Checking",
    "DueDates",
    "Example",
    "Inspection",
    "Judge",
    "Kind",
    "LiveTask",
    "LiveTasks",
    "OddId",
    "Ours",
    "People",
    "Preview",
    "ProblemGroup",
    "ProblemsFile",
    "RowSet",
    "Selection",
    "Verdict",
    "Written",
    "inspect",
    "judged_fields",
    "perhaps_trimmed",
    "wrote",
]
