"""Files of edits for benchmarks: seven columns, as from a spreadsheet."""

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("id", "assignedTo", "dueDate", "title", "message", "priority", "done")
_WORDS = "call back about the offer and ask for a date next week please confirm with the team"


def write_edits(path: Path, rows: int) -> None:
    """Write a CSV file with a number of edits, each for another task."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_edits(rows))


def write_bodies(path: Path, rows: int) -> None:
    """Write the JSON bodies of the same edits, one per line."""
    with path.open("w", encoding="utf-8") as file:
        for edit in _edits(rows):
            body: dict[str, object] = {k: v for k, v in zip(COLUMNS, edit, strict=True) if v}
            if "done" in body:
                body["done"] = True
            file.write(json.dumps(body, separators=(",", ":")) + "\n")


def _edits(rows: int) -> Iterator[tuple[str, ...]]:
    """Edits that are always the same: 50 users, some blank cells, some text in quotes."""
    chance = random.Random(1)  # noqa: S311 - not a secret
    words = _WORDS.split()
    for n in range(rows):
        message = " ".join(chance.choices(words, k=12))
        yield (
            f"opp_{n:017x}",
            f"usr_{n % 50:017x}",
            f"2026-{1 + n % 12:02}-{1 + n % 28:02}T09:{n % 60:02}:00.000Z",
            " ".join(chance.choices(words, k=4)),
            f'{message}, "please"' if n % 10 == 0 else message,
            str(n % 3) if n % 2 else "",
            "true" if n % 5 == 0 else "",
        )
