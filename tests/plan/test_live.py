"""Tests of live tasks: the tasks of a reading, on disk."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkupdate.errors import JournalError
from bulkupdate.models import Task
from bulkupdate.plan import LiveTask, LiveTasks


def test_tasks_keep_the_order_of_the_list(tmp_path: Path) -> None:
    """Tasks come back in the server's order. One that is merged stays in its place."""
    with closing(LiveTasks(tmp_path / "live")) as live:
        live.put([Task({"_id": f"opp_{n}", "title": "é\U0001f600"}) for n in range(600)])
        live.merge(Task({"_id": "opp_5", "new": [1]}))
        live.put([Task({"_id": "opp_600", "new": []})])
        assert [task.id for task in live] == [f"opp_{n}" for n in range(601)]
        assert live.listed == 601
        changed = {"_id": "opp_5", "title": "é\U0001f600", "new": [1]}
        assert live.find("opp_5").task == Task(changed)
        assert live.find("opp_601").task is None
        assert live.shown == {"_id", "title", "new"}
        live.clear()
        assert (live.listed, live.find("opp_5").task, live.shown) == (0, None, set())


def test_file_of_live_tasks_has_no_name(tmp_path: Path) -> None:
    """Nothing of the tasks is left behind, also where the process is killed."""
    (tmp_path / "live").write_text("something else")
    with closing(LiveTasks(tmp_path / "live")) as live:
        live.put([Task({"_id": "opp_1"})])
        assert [*tmp_path.iterdir()] == []
        assert live.find("opp_1").task is not None


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


def test_only_chosen_tasks_are_stored(tmp_path: Path) -> None:
    """The others are counted, and their fields are known. A choice ends with its reading."""
    with closing(LiveTasks(tmp_path / "live")) as live:
        live.wrote("opp_9", {"title": "Old"}, {"title": "New"})
        live.choose(["opp_2", "opp_3", "opp_2"])
        assert not live.has_all_chosen
        live.put([Task({"_id": "opp_1", "new": 1}), Task({"_id": "opp_2"}), Task({"_id": "opp_9"})])
        assert (live.listed, live.shown, live.has_all_chosen) == (3, {"_id", "new"}, False)
        assert [task.id for task in live] == ["opp_2"]
        live.put([Task({"_id": "opp_3"})])
        assert (live.has_all_chosen, live.find("opp_2").rows, live.find("opp_3").rows) == (
            True,
            2,
            1,
        )
        assert (live.find("opp_1"), live.find("opp_9").task) == (LiveTask(), None)
        live.clear()
        live.put([Task({"_id": "opp_1"})])
        assert not live.has_all_chosen
        assert ([task.id for task in live], live.find("opp_9").written != {}) == (["opp_1"], True)


def test_task_that_is_near_is_as_on_the_disk(tmp_path: Path) -> None:
    """What is brought near from the disk never hides what was stored since."""
    with closing(LiveTasks(tmp_path / "live")) as live:
        live.put([Task({"_id": f"opp_{n}"}) for n in range(1, 4)])
        live.bring_near(["opp_1", "opp_2", "opp_3", "opp_4"])
        live.wrote("opp_1", {"title": "Old"}, {"title": "New"})
        assert live.find("opp_1").written["title"].chain == ["Old", "New"]
        live.bring_near(["opp_2"])
        live.merge(Task({"_id": "opp_2", "title": "New"}))
        assert live.find("opp_2").task == Task({"_id": "opp_2", "title": "New"})
        live.bring_near(["opp_3"])
        live.clear()
        assert live.find("opp_3") == LiveTask()


def test_id_with_half_a_character_is_stored(tmp_path: Path) -> None:
    """A file may hold one. SQLite would refuse it as text."""
    with closing(LiveTasks(tmp_path / "live")) as live:
        live.choose(["opp_\ud800"])
        assert live.find("opp_\ud800").rows == 1
