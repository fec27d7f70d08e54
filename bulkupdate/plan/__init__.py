"""The preview of a run: the edits that it would send."""

from bulkupdate.plan.checking import Checking
from bulkupdate.plan.duedates import DueDates
from bulkupdate.plan.preview import Checked, Inspection, Preview, inspect
from bulkupdate.plan.problems import SHOWN_PROBLEMS, Example, ProblemGroup, ProblemsFile
from bulkupdate.plan.rowset import MAX_MERGED, RowSet

__all__ = [
    "MAX_MERGED",
    "SHOWN_PROBLEMS",
    "Checked",
    "Checking",
    "DueDates",
    "Example",
    "Inspection",
    "Preview",
    "ProblemGroup",
    "ProblemsFile",
    "RowSet",
    "inspect",
]
