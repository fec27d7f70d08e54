"""Tests of an export: the pending tasks as a file of edits that changes nothing."""

import copy
import errno
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bulkupdate import (
    ConfigError,
    Exported,
    InputError,
    JournalError,
    RunStoppedError,
    Selection,
    Stop,
    export_tasks,
)
from bulkupdate.lemlist.values import live_values
from bulkupdate.reader import Edit, EditsFile, Input, ReadOptions
from bulkupdate.sandbox import (
    AfterLast,
    Bounds,
    Fault,
    Order,
    Sandbox,
    SandboxConfig,
    Team,
    made_up_team,
)
from bulkupdate.sandbox import Member as SandboxMember
from bulkupdate.sandbox.members import made_up_id
from bulkupdate.sandbox.server import Seen
from bulkupdate.session.run import run
from bulkupdate.session.settings import RunConfig
from tests.support.listed import AT_ONCE, DUE, endpoint_of, tasks
from tests.support.office import saved

SUFFIXES = [".csv", ".jsonl", ".xlsx"]
PARIS = ZoneInfo("Europe/Paris")
BEN = SandboxMember("usr_ben", "Ben", "Keller", "ben@example.com")


async def exported(
    path: Path,
    team: Team,
    *,
    selection: Selection | None = None,
    watch: Callable[[Seen], None] | None = None,
    given: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Exported:
    """Export the tasks of a sandbox. `given` are arguments of the export."""
    config = SandboxConfig(**{"rate": None, **settings})
    async with Sandbox(config, team=team, watch=watch) as sandbox:
        return await export_tasks(
            endpoint_of(sandbox),
            path,
            selection=selection,
            rate=None,
            retry=AT_ONCE,
            **(given or {}),
        )


def read(path: Path) -> dict[str, Mapping[str, Any]]:
    """The values that a run would send, by id."""
    with Input.open(path, options=ReadOptions()) as source:
        rows = [*source.rows()]
    assert not any(row.problems for row in rows)
    return {row.id: row.update.changes() if row.update else {} for row in rows}


def shown(team: Team) -> dict[str, dict[str, Any]]:
    """The values of all tasks that are not empty, by id, as an update would send them."""
    return {
        id_: {name: value for name, value in live_values(task).items() if value != ""}
        for id_, task in team.tasks.items()
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("zone", [None, PARIS])
async def test_awkward_team_reads_back_or_is_named(
    tmp_path: Path, suffix: str, zone: ZoneInfo | None
) -> None:
    """Each value of the made-up team reads back as it is, or is left out and counted."""
    team, path = made_up_team(), tmp_path / f"tasks{suffix}"
    found = await exported(path, team, selection=Selection(zone=zone))
    values, live = read(path), shown(team)
    assert list(values) == list(live)
    lacking = {
        f"{id_} {name}"
        for id_, task in live.items()
        for name, value in task.items()
        if values[id_].get(name) != value
    }
    assert set(found.left_out.named) == lacking
    assert found.left_out.counts.total() == len(lacking)
    assert sum(map(len, values.values())) == sum(map(len, live.values())) - len(lacking)
    lost = {"title": 1} if suffix == ".jsonl" else {"title": 5, "message": 1}
    assert found.left_out.counts == lost
    assert (found.tasks, found.listed, found.notes) == (417, 417, [])


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_file_that_nobody_changed_changes_nothing(tmp_path: Path, suffix: str) -> None:
    """A run of the file as it was written leaves every task as it is."""
    team, path = Team([*made_up_team().tasks.values()][390:]), tmp_path / f"tasks{suffix}"
    await exported(path, team)
    before = copy.deepcopy(team.tasks)
    async with Sandbox(SandboxConfig(rate=None), team=team) as sandbox:
        summary = await run(RunConfig(input=path, endpoint=endpoint_of(sandbox), rate=None))
    assert summary.counts["updated"] == 27
    assert {id_: live_values(task) for id_, task in team.tasks.items()} == {
        id_: live_values(task) for id_, task in before.items()
    }


async def test_context_stands_beside_the_fields(tmp_path: Path) -> None:
    """What people want to see stands in columns that a run ignores."""
    team = Team(tasks(1, userId="usr_ben", campaignId="cam_a", status="pending"), users=[BEN])
    await exported(tmp_path / "tasks.csv", team, selection=Selection(zone=PARIS))
    header, row = (tmp_path / "tasks.csv").read_text("utf-8").splitlines()
    assert header == (
        "\ufeffid,assignedTo,dueDate,title,message,priority,bulkupdate_assignee,bulkupdate_due,"
        "bulkupdate_type,bulkupdate_status,bulkupdate_campaign,bulkupdate_lead,bulkupdate_contact"
    )
    assert row == (
        "opp_0,usr_ben,2026-03-02T10:00:00.000+01:00,Call 0 back,,,ben@example.com,"
        "Mon 02 Mar 2026 10:00,manual,pending,cam_a,,"
    )


async def test_file_is_private(tmp_path: Path) -> None:
    """The file holds names and addresses: it is its owner's alone."""
    await exported(tmp_path / "tasks.csv", Team(tasks(1)))
    assert (tmp_path / "tasks.csv").stat().st_mode & 0o777 == 0o600


FILTERS = [
    Selection(assigned_to=["usr_ben"]),
    Selection(assigned_to=["BEN@example.com"]),
    Selection(assigned_to=["ben keller"]),
    Selection(campaigns=["cam_a"]),
    Selection(types=["phone"]),
    Selection(due_from=date(2026, 3, 5), due_to=date(2026, 3, 5)),
    Selection(due_to=date(2026, 3, 5), due_from=date(2026, 3, 5), zone=PARIS),
]


@pytest.mark.parametrize("selection", FILTERS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ignored_filters": ["all"]},
        {"ignored_filters": ["dueDate"]},
        {"due_bounds": Bounds.EXCLUSIVE},
        {"page_size": 1},
    ],
)
async def test_filter_selects_whatever_the_server_does(
    tmp_path: Path, selection: Selection, settings: dict[str, Any]
) -> None:
    """A filter selects the same tasks where the server obeys, ignores it or takes other days."""
    fields = {"userId": "usr_ben", "campaignId": "cam_a", "type": "phone"}
    team = Team(tasks(6), users=[BEN])
    team.tasks["opp_3"] |= {**fields, "dueDate": "2026-03-05T00:00:00.000Z"}
    team.tasks["opp_4"] |= {**fields, "dueDate": "2026-03-05T22:59:59.999Z"}
    found = await exported(tmp_path / "tasks.csv", team, selection=selection, **settings)
    assert list(read(tmp_path / "tasks.csv")) == ["opp_3", "opp_4"]
    assert found.tasks == 2


async def test_overdue_is_before_now(tmp_path: Path) -> None:
    """A task is overdue when its due moment has passed."""
    team, now = Team(tasks(3)), datetime.now(UTC)
    for n, due in enumerate((now - timedelta(minutes=1), now + timedelta(minutes=5), None)):
        team.tasks[f"opp_{n}"]["dueDate"] = due and due.isoformat()
    await exported(tmp_path / "tasks.csv", team, selection=Selection(overdue=True))
    assert list(read(tmp_path / "tasks.csv")) == ["opp_0"]


async def test_tasks_of_someone_who_has_left_are_found(tmp_path: Path) -> None:
    """An owner who is no member any more is named by the id."""
    team = Team(tasks(2), users=[BEN])
    team.tasks["opp_1"]["userId"] = "usr_left"
    selection = Selection(assigned_to=["usr_left"])
    await exported(tmp_path / "tasks.csv", team, selection=selection)
    assert list(read(tmp_path / "tasks.csv")) == ["opp_1"]


async def test_wrong_owner_costs_no_page(tmp_path: Path) -> None:
    """A name that stands for nobody is refused before the tasks are read."""
    seen: list[Seen] = []
    selection = Selection(assigned_to=["ben"])
    with pytest.raises(InputError, match="assigned_to 'ben' is no member of the team"):
        await exported(
            tmp_path / "tasks.csv", Team(tasks(1), users=[BEN]), selection=selection,
            watch=seen.append,
        )  # fmt: skip
    assert [one.path for one in seen] == ["/api/team"]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("selection", "hidden"),
    [
        (Selection(assigned_to=["usr_ben"]), "userId"),
        (Selection(types=["phone"]), "type"),
        (Selection(campaigns=["cam_a"]), "campaignId"),
        (Selection(overdue=True), "dueDate"),
    ],
)
async def test_field_that_no_task_shows_selects_nothing(
    tmp_path: Path, selection: Selection, hidden: str
) -> None:
    """Where the list shows no such field, no task is taken for one that does not meet it."""
    team = Team(tasks(2, userId="usr_ben", campaignId="cam_a", type="phone"), users=[BEN])
    with pytest.raises(InputError, match=f"no task shows its {hidden}, so none can be selected"):
        await exported(tmp_path / "tasks.csv", team, selection=selection, hidden=[hidden])
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("hidden", ["title", "content", "priority", "dueDate", "userId"])
async def test_field_that_no_task_shows_is_blank(tmp_path: Path, hidden: str) -> None:
    """A field that the list does not show is left alone by a run of the file."""
    team = Team(tasks(2, userId="usr_ben", content="C", priority=1))
    found = await exported(tmp_path / "tasks.csv", team, hidden=[hidden])
    renamed = {"userId": "assignedTo", "content": "message"}
    for values in read(tmp_path / "tasks.csv").values():
        assert len(values) == 4
        assert renamed.get(hidden, hidden) not in values
    assert not found.left_out.counts


@pytest.mark.parametrize("selection", [None, Selection(types=["phone"])])
async def test_team_without_a_task_is_an_error_unless_accepted(
    tmp_path: Path, selection: Selection | None
) -> None:
    """A server that was asked for everything and lists nothing is not believed at once."""
    path = tmp_path / "tasks.csv"
    with pytest.raises(RunStoppedError, match=r"the server lists no task: .* allow_few"):
        await exported(path, Team(), selection=selection)
    assert not path.exists()
    found = await exported(path, Team(), selection=selection, given={"allow_few": True})
    assert (found.tasks, found.listed) == (0, 0)
    assert path.read_text("utf-8-sig").startswith("id,assignedTo")


async def test_filter_that_meets_no_task_is_no_error(tmp_path: Path) -> None:
    """A server that leaves out all tasks, as it was asked to, is believed."""
    selection = Selection(campaigns=["cam_none"])
    found = await exported(tmp_path / "tasks.jsonl", Team(tasks(3)), selection=selection)
    assert (found.tasks, (tmp_path / "tasks.jsonl").read_bytes()) == (0, b"")


async def test_file_that_exists_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """A file is replaced only where that is allowed, and costs no request where it is not."""
    seen: list[Seen] = []
    path = tmp_path / "tasks.csv"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is there already: overwrite=True replaces it"):
        await exported(path, Team(tasks(1)), watch=seen.append)
    assert (path.read_text(), seen) == ("mine", [])
    await exported(path, Team(tasks(1)), given={"overwrite": True})
    assert list(read(path)) == ["opp_0"]


async def test_wrong_suffix_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """The suffix decides the format, so it has to be a known one."""
    seen: list[Seen] = []
    with pytest.raises(ConfigError, match=r"suffixes .csv, .jsonl, .xlsx"):
        await exported(tmp_path / "tasks.txt", Team(tasks(1)), watch=seen.append)
    assert seen == []


@pytest.mark.parametrize("overwrite", [False, True])
async def test_list_that_breaks_off_leaves_no_file(tmp_path: Path, overwrite: bool) -> None:
    """Half a list is never written, and an earlier file stays."""
    path = tmp_path / "tasks.csv"
    if overwrite:
        path.write_text("earlier")
    async with Sandbox(SandboxConfig(rate=None, page_size=1), team=Team(tasks(9))) as sandbox:

        def on_page(number: int) -> None:
            sandbox.is_down = number == 3

        with pytest.raises(RunStoppedError, match=r"no usable answer|503"):
            await export_tasks(
                endpoint_of(sandbox), path, overwrite=overwrite, rate=None, retry=AT_ONCE,
                on_page=on_page,
            )  # fmt: skip
    assert [one.read_text() for one in tmp_path.iterdir()] == ["earlier"] * overwrite


@pytest.mark.parametrize("at", ["reading", "writing", "the end"])
async def test_stop_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """A stop ends the export while it reads and while it writes, and nothing is left."""
    stop = Stop()

    def on_page(number: int) -> None:
        if at == "reading" and number == 2:
            stop.set("enough")

    def written(file: EditsFile, to: Any, edits: Any) -> None:
        first = next(edits)
        if at == "writing":
            stop.set("enough")
        rest = [*edits]
        taken.extend(rest)
        write(file, to, iter([first, *rest]))
        if at == "the end":
            stop.set("enough")

    taken: list[Any] = []
    write = EditsFile.write
    monkeypatch.setattr(EditsFile, "write", written)
    given = {"stop": stop, "on_page": on_page}
    with pytest.raises(RunStoppedError, match=r"^enough$"):
        await exported(tmp_path / "tasks.csv", Team(tasks(9)), page_size=1, given=given)
    assert [*tmp_path.iterdir()] == []
    assert len(taken) == (8 if at == "the end" else 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_file_that_does_not_read_back_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """A file that holds something else than was written to it does not appear."""

    def written(file: EditsFile, to: Any, edits: Any) -> None:
        write(file, to, edits)
        other = EditsFile(file._format, ("title",))
        to.seek(0)
        to.truncate()
        write(other, to, [Edit("opp_0", {"title": "Other"})])

    write = EditsFile.write
    monkeypatch.setattr(EditsFile, "write", written)
    with pytest.raises(JournalError, match="does not read back as it was written: it holds other"):
        await exported(tmp_path / f"tasks{suffix}", Team(tasks(1)))
    assert [*tmp_path.iterdir()] == []


async def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes no more ends the export with its words."""

    def written(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(EditsFile, "write", written)
    with pytest.raises(JournalError, match="the file can't be written: No space left on device"):
        await exported(tmp_path / "tasks.csv", Team(tasks(1)))
    assert [*tmp_path.iterdir()] == []


async def test_closed_team_is_noted_and_owners_are_ids(tmp_path: Path) -> None:
    """Without the team, the file has ids in the place of names, and the result says so."""
    team = Team(tasks(1, userId="usr_ben"), users=[BEN])
    found = await exported(tmp_path / "tasks.csv", team, closed={"team": 402})
    assert len(found.notes) == 1
    assert found.notes[0].startswith("the team can't be read: only ids of users work")
    assert ",usr_ben,Mon 02 Mar 2026 09:00," in (tmp_path / "tasks.csv").read_text()
    with pytest.raises(InputError, match="the team can't be read: enter the id of a user"):
        await exported(
            tmp_path / "bens.csv", team, selection=Selection(assigned_to=["ben@example.com"]),
            closed={"team": 402},
        )  # fmt: skip


async def test_owner_by_email_works_with_an_old_team(tmp_path: Path) -> None:
    """Where the team names nobody, its users are asked for."""
    team = Team(tasks(2), users=[BEN])
    team.tasks["opp_1"]["userId"] = "usr_ben"
    selection = Selection(assigned_to=["ben@example.com"])
    await exported(tmp_path / "tasks.csv", team, selection=selection, team_version=1)
    assert list(read(tmp_path / "tasks.csv")) == ["opp_1"]


async def test_faults_cost_no_task(tmp_path: Path) -> None:
    """A server that fails now and then gives the same file as one that does not."""
    faults = {Fault.UNAVAILABLE: 0.2, Fault.RESET_AFTER: 0.1, Fault.CUT: 0.1}
    team = Team(tasks(30))
    await exported(tmp_path / "a.csv", team, page_size=3)
    await exported(tmp_path / "b.csv", team, page_size=3, faults=faults, seed=1)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


async def test_list_that_shifts_is_in_the_file_once(tmp_path: Path) -> None:
    """Tasks that come and move while the pages are read are in the file once."""
    found = await exported(tmp_path / "tasks.csv", Team(tasks(40)), page_size=10, shift=3)
    values = read(tmp_path / "tasks.csv")
    assert len(values) == found.tasks == found.listed
    assert {f"opp_{n}" for n in range(40)} <= set(values)


async def test_list_that_moved_is_told(tmp_path: Path) -> None:
    """Where tasks come again beside new ones, others may be missing, and the user is told."""
    found = await exported(
        tmp_path / "a.csv", Team(tasks(40)), page_size=10, order=Order.RANDOM, seed=1
    )
    assert found.tasks < 40
    [note] = found.notes
    assert re.fullmatch(
        r"the list of tasks moved while it was read \(\d+ tasks came again\): it may lack others",
        note,
    )
    for number, after in enumerate(AfterLast):
        path = tmp_path / f"{number}.csv"
        still = await exported(path, Team(tasks(40)), page_size=10, after_last=after)
        assert (still.tasks, still.notes) == (40, [])


def office_team() -> Team:
    """The made-up team's last tasks, with an id that looks like a number in another base."""
    team = Team([*made_up_team().tasks.values()][395:])
    odd = made_up_id("opp", 10**6)
    team.tasks[odd] = {
        "_id": odd,
        "title": "Zoé, “quoted” 5 × 3",
        "content": "é" * 500,
        "dueDate": DUE,
    }
    return team


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "to"),
    [(".csv", ".csv"), (".csv", ".xlsx"), (".xlsx", ".xlsx"), (".xlsx", ".csv"), (".xlsx", ".ods")],
)
async def test_spreadsheet_that_saves_the_file_changes_no_value(
    tmp_path: Path, suffix: str, to: str
) -> None:
    """LibreOffice opens and saves the file, and every value still reads the same."""
    team, path = office_team(), tmp_path / f"tasks{suffix}"
    await exported(path, team, selection=Selection(zone=PARIS))
    before = read(path)
    assert len(before) == 23
    (tmp_path / "saved").mkdir()
    assert read(saved(path, to, tmp_path / "saved")) == before
