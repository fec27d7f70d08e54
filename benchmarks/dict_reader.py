"""A yardstick: reading a CSV file with the standard library; nothing else.

`python benchmarks/dict_reader.py edits.csv`
"""

import csv
import sys

with open(sys.argv[1], newline="", encoding="utf-8") as file:  # noqa: PTH123 - as in typical scripts
    for _ in csv.DictReader(file):
        pass
