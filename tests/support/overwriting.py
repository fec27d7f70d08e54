"""Directories of runs that were compared: what they have overwritten, and what came of it."""

import itertools
import json
from pathlib import Path
from typing import Any

from bulkupdate.lemlist.values import TASK_NAMES
from tests.support.runs import run_directory

#: One moment after another, over all runs of a test.
_moments = itertools.count()

_UNSHOWN = frozenset({"done", "images", "videos"})


class Overwriting:
    """A run with `compare` whose files are written by hand.

    Args:
        name: the name of its directory.
    """

    def __init__(self, name: str = "edits.run") -> None:
        self.path = Path(name)
        self.images: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []

    def image(
        self,
        row: int,
        id_: str,
        before: dict[str, Any] | None,
        sent: dict[str, Any],
        **more: Any,
    ) -> None:
        """Add the image that stands before a request."""
        line = {"row": row, "id": id_, "at": _now(), "before": before, "sent": sent, **more}
        self.images.append(line)

    def result(
        self,
        row: int,
        id_: str,
        outcome: str = "updated",
        sent: dict[str, Any] | None = None,
        task: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Add the result of a row. An updated one gets the answer that `sent` leads to."""
        line = {"row": row, "id": id_, "outcome": outcome, "attempts": 1, "at": _now(), **more}
        if sent is not None:
            line["sent"] = sent
        if outcome == "updated":
            line["task"] = answer(id_, sent or {}) if task is None else task
        self.results.append(line)

    def write(
        self,
        row: int,
        id_: str,
        before: dict[str, Any] | None,
        sent: dict[str, Any],
        outcome: str = "updated",
        *,
        account: str = "",
        **more: Any,
    ) -> None:
        """Add a request: its image, and its result."""
        of: dict[str, Any] = {"account": account} if account else {}
        self.image(row, id_, before, sent, **of)
        self.result(row, id_, outcome, sent, **of, **more)

    def save(self, **changes: Any) -> Path:
        """Write the run directory. `changes` change its summary."""
        given = {"rows": len(self.results), "compared": True, **changes}
        run_directory(self.path, self.results, **given)
        lines = "".join(f"{json.dumps(line)}\n" for line in self.images)
        (self.path / "before.jsonl").write_text(lines)
        return self.path


def answer(id_: str, sent: dict[str, Any]) -> dict[str, Any]:
    """The Task with which the server answers an update."""
    shown = {TASK_NAMES[name]: value for name, value in sent.items() if name not in _UNSHOWN}
    return {"_id": id_, "type": "manual", "status": "pending", **shown}


def _now() -> str:
    number = next(_moments)
    return f"2026-11-24T14:{number // 60 % 60:02}:{number % 60:02}.000Z"
