"""Rules: which live tasks change every night, and how.

::

    a file of rules ──▶ Rules ──┐
    file                        ├──▶ selected ──▶ dealt ──▶ what to change, and what to expect
    the live tasks ─▶ LiveTask ─┘   conditions   dealing   evaluation
"""

from bulkupdate.plan.rules.evaluation import Evaluation, RuleEdit, evaluate, refusal
from bulkupdate.plan.rules.file import read_rules
from bulkupdate.plan.rules.rule import EVERY, MostChanges, Rule, Rules

__all__ = [
    "EVERY",
    "Evaluation",
    "MostChanges",
    "Rule",
    "RuleEdit",
    "Rules",
    "evaluate",
    "read_rules",
    "refusal",
]
