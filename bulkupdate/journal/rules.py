"""The rows of each rule, counted by outcome. Two bytes for each row of a run that has rules."""

from array import array
from collections import Counter
from collections.abc import Iterable

#: Largest number of rules that are counted one by one.
MAX_RULES = 1000

#: The name under which the rows of all further rules are counted.
OTHER_RULES = "others"


class RulesOfRows:
    """The rule that each row comes from, by the number of the row."""

    def __init__(self) -> None:
        #: Name → its number, from 1.
        self._numbers: dict[str, int] = {}
        self._rows = array("H")

    def add(self, row: int, rule: str) -> None:
        """Note the rule of a row.

        Args:
            row: the number of the row, from 1.
            rule: the name of its rule.
        """
        if rule not in self._numbers and len(self._numbers) >= MAX_RULES:
            rule = OTHER_RULES
        number = self._numbers.setdefault(rule, len(self._numbers) + 1)
        if row > len(self._rows):
            self._rows.extend([0] * (row - len(self._rows)))
        self._rows[row - 1] = number

    def counts(self, outcomes: Iterable[str]) -> dict[str, dict[str, int]]:
        """Number of rows of each rule by outcome, the rules in the order of their first rows.

        Args:
            outcomes: the outcome of each row, "" without one.
        """
        found = Counter(zip(self._rows, outcomes, strict=False))
        return {
            rule: {
                outcome: rows
                for (of, outcome), rows in found.most_common()
                if of == number and outcome
            }
            for rule, number in self._numbers.items()
        }
