"""Tests of live tasks: the tasks of a reading, on disk."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkupdate.errors import JournalError
from bulkupdate.models import Task
from bulkupdate.plan import LiveTasks


def test_tasks_keep_the_order_of_the_list(tmp_path: Path) -> None:
    """Tasks come back in the server's order. One that is put again is replaced in its place."""
    with closing(LiveTasks(tmp_path / "live")) as live:
        live.put([Task({"_id": f"opp_{n}", "title": "é\U0001f600"}) for n in range(600)])
        live.put([Task({"_id": "opp_5", "new": [1]}), Task({"_id": "opp_600"})])
        assert [task.id for task in live] == [f"opp_{n}" for n in range(601)]
        assert len(live) == 601
        assert live.get("opp_5") == Task({"_id": "opp_5", "new": [1]})
        assert live.get("opp_601") is None
        assert live.shown == {"_id", "title", "new"}
        live.clear()
        assert (len(live), live.get("opp_5"), live.shown) == (0, None, set())


def test_file_of_live_tasks_has_no_name(tmp_path: Path) -> None:
    """Nothing of the tasks is left behind, also where the process is killed."""
    (tmp_path / "live").write_text("something else")
    with closing(LiveTasks(tmp_path / "live")) as live:
        live.put([Task({"_id": "opp_1"})])
        assert [*tmp_path.iterdir()] == []
        assert live.get("opp_1") is not None


def test_disk_that_fails_is_told(tmp_path: Path) -> None:
    """A database that can't be made, written or read is an error of the journal."""
    with pytest.raises(JournalError, match="tasks can't be stored on disk"):
        LiveTasks(tmp_path / "none" / "live")
    live = LiveTasks(tmp_path / "live")
    live.close()
    with pytest.raises(JournalError, match="tasks can't be stored on disk"):
        live.put([Task({"_id": "opp_1"})])
    with pytest.raises(JournalError, match="tasks can't be read back from disk") as caught:
        list(live)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
