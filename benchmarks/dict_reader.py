"""What reading a CSV file costs with the standard library, and nothing else. A yardstick.

`python benchmarks/dict_reader.py edits.csv`
"""

import csv
import sys

with open(sys.argv[1], newline="", encoding="utf-8") as file:  # noqa: PTH123 - as people write it
    for _ in csv.DictReader(file):
        pass
