"""Lines of a run that compares its rows with the tasks, made by hand."""

import json
from pathlib import Path
from typing import Any

#: What is added to the line of a row that was not sent, because of what its task was.
ALREADY = {"outcome": "unchanged", "reason": "already"}
CONFLICT = {
    "outcome": "conflict",
    "error": {
        "type": "changed_since",
        "message": "title is X now",
        "field": "title",
        "expected": "Y",
        "found": "X",
    },
}


def not_sent(rows: dict[int, dict[str, Any]], directory: str = "edits.run") -> None:
    """Change the lines of some rows to those of rows that were compared and not sent."""
    log = Path(directory) / "results.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for number, line in enumerate(lines):
        if line["row"] in rows:
            kept = {key: line[key] for key in ("row", "id", "at")}
            lines[number] = {**kept, "attempts": 0, **rows[line["row"]]}
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
