"""A night: rules are evaluated once, their edits are on the disk, and a run of these follows."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.engine.settings import RetryPolicy
from bulkupdate.journal.directory import Mode, RunDirectory
from bulkupdate.journal.summary import Summary
from bulkupdate.models import Reason
from bulkupdate.reader import ReadOptions
from bulkupdate.sandbox import Order
from bulkupdate.session.plan import plan_edits
from bulkupdate.session.reading import SIDE_ATTEMPTS
from bulkupdate.session.run import run
from bulkupdate.session.settings import ChangeLimit
from bulkupdate.session.undo import undo_run
from bulkupdate.stop import Stop
from tests.session.test_compare import bench_of, compared, patches
from tests.support.bench import Bench, Notes, StopsAfter, results_in

Write = Callable[..., Path]

RUN = Path("nightly.run")
NOW = datetime(2026, 11, 25, 23, 30, tzinfo=UTC)

#: Anna's tasks go to Ben. In Paris, it is the 26th at `NOW`.
RULES = """
timezone = "Europe/Paris"
max_changes = "100%"

[[rule]]
name = "Anna is away"
select = { assignedTo = ["anna@acme.example"] }
set = { assignedTo = ["ben@acme.example"] }
"""


def rules_file(text: str = RULES) -> Path:
    path = Path("nightly.toml")
    path.write_text(text)
    return path


async def night(bench: Bench, path: Path, now: datetime = NOW, **settings: Any) -> Summary:
    return await bench.run(path, read=ReadOptions(now=now), **settings)


def edits() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RUN / "edits.jsonl").read_text().splitlines()]


async def test_rules_make_edits_that_expect_what_they_looked_at() -> None:
    """The edits are in the run directory, and each result names its rule."""
    async with bench_of(3) as bench:
        bench.sandbox.team.tasks["opp_2"]["userId"] = "usr_ben"
        summary = await night(bench, rules_file())
        owners = [task["userId"] for task in bench.sandbox.team.tasks.values()]
    assert owners == ["usr_ben"] * 3
    assert edits() == [
        {
            "id": task,
            "assignedTo": "usr_ben",
            "expect": {"assignedTo": "usr_anna"},
            "bulkupdate_rule": "Anna is away",
        }
        for task in ("opp_1", "opp_3")
    ]
    assert [result["rule"] for result in results_in(RUN)] == ["Anna is away"] * 2
    assert (summary.exit_code, summary.input.path) == (0, "nightly.toml")
    assert summary.rules == {"Anna is away": {"updated": 2}}


async def test_edits_are_on_the_disk_before_the_first_request() -> None:
    """A night that is killed at its first request knows all of its edits."""
    there = []
    async with bench_of(3) as bench:
        see = bench.sandbox._watch

        def watch(seen: Any) -> None:
            if see is not None:
                see(seen)
            if seen.method == "PATCH":
                there.append(len(edits()))

        bench.sandbox._watch = watch
        await night(bench, rules_file())
    assert there == [3, 3, 3]


async def test_list_that_moved_is_told() -> None:
    """Rules that have perhaps not seen each task say so."""
    notes = Notes()
    async with bench_of(40, page_size=10, order=Order.RANDOM, seed=1) as bench:
        summary = await night(bench, rules_file(), observer=notes)
    assert 0 < summary.counts["updated"] < 40
    assert any("moved while it was read" in note for note in notes.said)


async def test_night_with_nothing_to_do_is_a_success() -> None:
    """A second night writes nothing, and its directory says so."""
    async with bench_of(3) as bench:
        await night(bench, rules_file(), out="first.run")
        bench.seen.clear()
        summary = await night(bench, rules_file())
        assert patches(bench) == []
    assert (summary.exit_code, summary.input.rows) == (0, 0)
    assert edits() == []


async def test_night_that_was_stopped_evaluates_no_rule_again() -> None:
    """It goes on with its own edits, whatever the rules and the tasks are by then."""
    path = rules_file()
    async with bench_of(40, latency=(2.0, 5.0)) as bench:
        stopping = StopsAfter(10)
        config = bench.config(path, read=ReadOptions(now=NOW), workers=2)
        first = await run(config, stop=stopping.stop, observer=stopping)
        assert first.counts["unprocessed"] > 0
        before = (RUN / "edits.jsonl").read_bytes()
        bench.sandbox.team.add("opp_41").update(userId="usr_anna")
        later = NOW.replace(day=26, hour=20)
        path.write_text(RULES.replace("ben@acme", "nobody@acme"))
        summary = await night(bench, path, later, mode=Mode.RESUME)
        assert len(patches(bench)) == 40
    assert (summary.exit_code, summary.counts["updated"]) == (0, 40)
    assert (RUN / "edits.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("later", "is_refused"),
    [
        (NOW.replace(day=26, hour=22, minute=59), False),
        (NOW.replace(day=26, hour=23), True),
        (NOW.replace(hour=22, minute=59), True),
    ],
)
async def test_night_of_another_day_is_not_continued(later: datetime, is_refused: bool) -> None:
    """Days are those of the rules' time zone. What is left of an earlier night is stale."""
    async with bench_of(3) as bench:
        await night(bench, rules_file(), first=1)
        if not is_refused:
            assert (await night(bench, rules_file(), later, mode=Mode.RESUME)).exit_code == 0
            return
        with pytest.raises(errors.RunDirectoryError, match=r"is of 2026-11-26 \(Europe/Paris\)"):
            await night(bench, rules_file(), later, mode=Mode.RESUME)
        assert len(patches(bench)) == 1


async def test_night_without_its_edits_is_not_continued() -> None:
    """It would be another night."""
    async with bench_of(3) as bench:
        await night(bench, rules_file(), first=1)
        (RUN / "edits.jsonl").unlink()
        with pytest.raises(errors.RunDirectoryError, match="is missing"):
            await night(bench, rules_file(), mode=Mode.RESUME)


async def test_night_that_has_sent_nothing_is_evaluated_again() -> None:
    """On a later day too: `--resume` begins it."""
    async with bench_of(3) as bench:
        stop = Stop()
        config = bench.config(rules_file(), read=ReadOptions(now=NOW))
        see = bench.sandbox._watch

        def watch(seen: Any) -> None:
            if see is not None:
                see(seen)
            if len(bench.seen) == 3:  # Two pages are the rules' reading, the third is the run's.
                stop.set("interrupted by SIGINT", Reason.SIGNAL, signal=2)

        bench.sandbox._watch = watch
        summary = await run(config, stop=stop)
        assert (summary.counts["unprocessed"], len(edits())) == (3, 3)
        bench.sandbox._watch = see
        bench.sandbox.team.tasks["opp_1"]["userId"] = "usr_ben"
        summary = await night(bench, rules_file(), NOW.replace(day=28), mode=Mode.RESUME)
        assert (summary.exit_code, len(edits()), len(patches(bench))) == (0, 2, 2)


async def test_task_that_changed_since_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another hand changed between the evaluation and the request is not overwritten."""
    async with bench_of(3) as bench:
        adopt = RunDirectory.adopt_edits

        def change(directory: RunDirectory, part: Path) -> Path:
            bench.sandbox.team.tasks["opp_2"]["userId"] = "usr_carl"
            return adopt(directory, part)

        monkeypatch.setattr(RunDirectory, "adopt_edits", change)
        summary = await night(bench, rules_file())
        assert bench.sandbox.team.tasks["opp_2"]["userId"] == "usr_carl"
    assert (summary.exit_code, summary.counts["conflict"]) == (1, 1)
    failed = (RUN / "failed.jsonl").read_text()
    assert "opp_2" in failed
    assert "Anna is away" in failed


async def test_refused_night_leaves_no_directory() -> None:
    """Wrong rules, a rule that selects too much and an unknown person: the next try is a first."""
    cases = {
        "set.assigned: no such key": RULES.replace('{ assignedTo = ["ben', '{ assigned = ["ben'),
        "more than half": RULES.replace('max_changes = "100%"', ""),
        "3 tasks of 3 would change": RULES.replace('"100%"', "2"),
        "is no member": RULES.replace("ben@acme", "bne@acme"),
    }
    async with bench_of(3) as bench:
        for message, text in cases.items():
            with pytest.raises(errors.InputError, match=message):
                await night(bench, rules_file(text))
            assert not RUN.exists()
        assert (await night(bench, rules_file())).exit_code == 0


async def test_rule_that_selects_many_tasks_may_be_accepted() -> None:
    """As `--yes` does."""
    path = rules_file(RULES.replace('max_changes = "100%"', ""))
    async with bench_of(3) as bench:
        assert (await night(bench, path, yes=True)).counts["updated"] == 3


async def test_rules_need_the_team() -> None:
    """Without members, nobody can be told from a person who has left."""
    async with bench_of(3, closed={"team": 402}) as bench:
        with pytest.raises(errors.InputError, match="rules need the members of the team"):
            await night(bench, rules_file())
        assert (patches(bench), RUN.exists()) == ([], False)


async def test_night_waits_for_a_server_that_is_down_before_the_team_is_read() -> None:
    """Without the team no rule holds, so that it is as patient as with tasks."""
    async with bench_of(3) as bench:
        bench.sandbox.is_down = True
        see = bench.sandbox._watch

        def watch(seen: Any) -> None:
            if see is not None:
                see(seen)
            bench.sandbox.is_down = len(bench.asked) < 2 * SIDE_ATTEMPTS

        bench.sandbox._watch = watch
        assert (await night(bench, rules_file())).counts["updated"] == 3


async def test_night_whose_server_stays_down_is_stopped_and_may_be_tried_again() -> None:
    """It is no error of the rules: the next start begins the night."""
    async with bench_of(3) as bench:
        bench.sandbox.is_down, stop = True, Stop()
        patience = RetryPolicy(first_backoff=0.001, longest_backoff=0.01, give_up_after=0.1)
        config = bench.config(rules_file(), read=ReadOptions(now=NOW))
        with pytest.raises(
            errors.RunStoppedError, match=r"no usable answer for|the team can't be read"
        ):
            await run(replace(config, retry=patience), stop=stop)
        assert (stop.reason, RUN.exists()) == (Reason.SERVER_DOWN, False)
        bench.sandbox.is_down = False
        assert (await night(bench, rules_file(), mode=Mode.RESUME)).counts["updated"] == 3


async def test_list_without_a_task_is_an_error() -> None:
    """Unless it is allowed: then there is nothing to do."""
    async with bench_of(0) as bench:
        with pytest.raises(errors.RunStoppedError, match="lists 0 tasks"):
            await night(bench, rules_file())
        summary = await night(bench, rules_file(), allow_few=True)
    assert (summary.exit_code, summary.input.rows) == (0, 0)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"mapping": {"a": "title"}}, "mapping"),
        ({"constants": {"title": "New"}}, "constants"),
        ({"only": ("title",)}, "only"),
        ({"value_map": "map.csv"}, "value_map"),
        ({"timezone": "UTC"}, "timezone"),
        ({"delimiter": ";"}, "delimiter"),
    ],
)
async def test_options_of_a_file_of_edits_are_refused(options: dict[str, Any], name: str) -> None:
    """They say how rows are read, and rules have none."""
    async with bench_of(1) as bench:
        with pytest.raises(errors.ConfigError, match=f"^{name} is of a file of edits"):
            bench.config(rules_file(), read=ReadOptions(**options))
        endpoint = bench.config(rules_file()).only_account.endpoint()
        with pytest.raises(errors.ConfigError, match=f"^{name} is of a file of edits"):
            async with plan_edits(rules_file(), endpoint, read=ReadOptions(**options)):
                pass


async def test_edits_of_a_killed_session_are_no_obstacle() -> None:
    """What is left of a night that never began is written anew."""
    RUN.mkdir()
    (RUN / "edits.jsonl.part").write_text("{")
    async with bench_of(3) as bench:
        summary = await night(bench, rules_file())
    assert (summary.exit_code, len(edits())) == (0, 3)
    assert not (RUN / "edits.jsonl.part").exists()


async def test_input_of_a_night_that_is_read_again_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reading that is too old is repeated, and the rows with it."""
    monkeypatch.setattr("bulkupdate.session.compare._TIMES_TOOK", 1.0)
    async with bench_of(30, latency=(2.0, 5.0)) as bench:
        summary = await night(bench, rules_file(), max_age=0.0, workers=4)
    assert (summary.exit_code, summary.counts["updated"]) == (0, 30)


async def test_plan_of_rules_is_what_the_night_sends(tmp_path: Path) -> None:
    """A plan shows each change with its rule, and its file is one that `run` takes."""
    output = tmp_path / "plan.csv"
    async with bench_of(3) as bench:
        endpoint = bench.config(rules_file()).only_account.endpoint()
        making = plan_edits(
            rules_file(), endpoint, read=ReadOptions(now=NOW), output=output, rate=None
        )
        async with making as plan:
            changes = list(plan.changes())
        assert patches(bench) == []
        assert plan.evaluation is not None
        assert plan.evaluation.selected == {"Anna is away": 3}
        assert [(one.before, one.after) for one in changes] == [
            ({"assignedTo": "usr_anna"}, {"assignedTo": "usr_ben"})
        ] * 3
        summary = await compared(bench, output)
    assert summary.rules == {"Anna is away": {"updated": 3}}


async def test_rule_of_a_row_is_in_the_file_of_failed_rows(write: Write) -> None:
    """Rows that are run again are still of their rule, in a file in columns too."""
    rows = "opp_9,Anna is away,New,Old", "opp_1,,New,T1"
    path = write("edits.csv", "id,bulkupdate_rule,title,expect.title", *rows)
    async with bench_of(3) as bench:
        await compared(bench, path)
    header, failed = Path("edits.run/failed.csv").read_text("utf-8-sig").splitlines()
    assert header.startswith("id,bulkupdate_rule,title,expect.title,bulkupdate_row")
    assert failed.startswith("opp_9,Anna is away,New,Old,1,conflict")


async def test_plan_shows_what_a_night_would_refuse() -> None:
    """A rule that selects more than half is shown, and that a night needs a word for it."""
    path = rules_file(RULES.replace('max_changes = "100%"', ""))
    async with bench_of(3) as bench:
        making = plan_edits(path, bench.config(path).only_account.endpoint(), rate=None)
        async with making as plan:
            assert plan.tasks == 3
    assert "selects 3 of 3 listed tasks, more than half" in plan.refused


async def test_limit_of_a_run_counts_for_a_night_too() -> None:
    """It refuses before the first write."""
    async with bench_of(3) as bench:
        summary = await night(bench, rules_file(), max_changes=ChangeLimit(tasks=2))
        assert patches(bench) == []
    assert (summary.exit_code, summary.stopped_by) == (2, Reason.TOO_MANY_CHANGES)


async def test_night_is_taken_back() -> None:
    """A night is a run: what it has overwritten can be restored."""
    async with bench_of(3) as bench:
        await night(bench, rules_file())
        undo_run(RUN, "undo.csv")
        summary = await compared(bench, Path("undo.csv"))
        owners = {task["userId"] for task in bench.sandbox.team.tasks.values()}
    assert (summary.exit_code, owners) == (0, {"usr_anna"})


async def test_list_with_less_than_half_of_the_night_before_is_an_error() -> None:
    """Rules select from the list, so that half a list would be half a night."""
    async with bench_of(9) as bench:
        await night(bench, rules_file(), out="1.run")
        for number in range(1, 6):
            del bench.sandbox.team.tasks[f"opp_{number}"]
        with pytest.raises(errors.RunStoppedError, match="lists 4 tasks, and listed 9 before"):
            await night(bench, rules_file(), out="2.run")
        summary = await night(bench, rules_file(), out="2.run", allow_few=True)
    assert (summary.exit_code, summary.listed) == (0, 4)


ANNA = "anna@acme.example"
FROM_ANNA = f'select = {{ assignedTo = ["{ANNA}"] }}'
TO_BEN = 'set = { assignedTo = ["ben@acme.example"] }'


def is_question(seen: Any) -> bool:
    """Whether a request asks for the senders."""
    return str(seen.path).endswith("/team/senders")


async def said(bench: Bench, path: Path, out: str = "noted.run") -> list[str]:
    """The notes of a night about campaigns."""
    notes = Notes()
    config = bench.config(path, read=ReadOptions(now=NOW), out=out)
    assert (await run(config, observer=notes)).exit_code == 0
    return [note for note in notes.said if "campaign" in note]


async def test_campaigns_that_go_on_are_pointed_out() -> None:
    """A night and a plan say which running campaigns make tasks for people who give theirs away."""
    async with bench_of(3) as bench:
        team = bench.sandbox.team
        team.senders = {
            "usr_anna": {"cam_1": "Outreach Q1", "cam_2": "", "cam_3": "Paused one"},
            "usr_ben": {"cam_4": "Of the one who gets the tasks"},
        }
        team.campaigns["cam_3"] = "paused"
        notes = [
            f"rule 'Anna is away': 2 running campaigns go on making tasks for {ANNA}:"
            " Outreach Q1, cam_2"
        ]
        path = rules_file()
        before = len(bench.asked)
        async with plan_edits(
            path, bench.config(path).only_account.endpoint(), read=ReadOptions(now=NOW), rate=None
        ) as plan:
            assert [note for note in plan.notes if "campaign" in note] == notes
            asked = bench.asked[before:]
            # Two pages: the tasks, and the end of the list.
            assert plan.reading == len(asked) + 2
        assert len([one for one in asked if is_question(one)]) == 1
        assert await said(bench, path) == notes
        del team.senders["usr_anna"]["cam_2"]
        team.tasks["opp_1"]["userId"] = "usr_anna"
        assert (await said(bench, path, "again.run"))[0].startswith(
            "rule 'Anna is away': 1 running campaign goes on making tasks"
        )


async def test_many_campaigns_are_not_all_named() -> None:
    """The number is told, and the first names, each on one line."""
    async with bench_of(1) as bench:
        names = {f"cam_{number}": f"C\n{number}" for number in range(7)}
        bench.sandbox.team.senders = {"usr_anna": names}
        (note,) = await said(bench, rules_file())
    assert note.endswith(
        f"7 running campaigns go on making tasks for {ANNA}: C 0, C 1, C 2, C 3, C 4, …"
    )


@pytest.mark.parametrize(
    "rule",
    [
        f"until = 2026-11-25\n{FROM_ANNA}\n{TO_BEN}",
        f'select = {{ type = "manual" }}\n{TO_BEN}',
        f'{FROM_ANNA}\nset = {{ priority = "2" }}',
        f'{FROM_ANNA}\nset = {{ assignedTo = ["ben@acme.example", "{ANNA}"] }}',
        f'select = {{ assignedTo = "" }}\n{TO_BEN}',
    ],
)
async def test_senders_are_asked_for_only_where_a_rule_takes_from_people(rule: str) -> None:
    """A rule that does not hold, names no people, or leaves their tasks to them asks nothing."""
    async with bench_of(1) as bench:
        bench.sandbox.team.senders = {"usr_anna": {"cam_1": "Outreach Q1"}}
        text = f'timezone = "Europe/Paris"\nmax_changes = "100%"\n[[rule]]\nname = "R"\n{rule}\n'
        assert await said(bench, rules_file(text)) == []
        assert not any(map(is_question, bench.asked))


async def test_several_rules_ask_once_for_senders() -> None:
    """Each person of each rule has a line."""
    rule = 'name = "Ben too"\nselect = { assignedTo = ["ben@acme.example"], title = "T9" }'
    text = f'{RULES}\n[[rule]]\n{rule}\nset = {{ assignedTo = ["anna@acme.example"] }}\n'
    async with bench_of(2) as bench:
        campaign = {"cam_1": "Outreach Q1"}
        bench.sandbox.team.senders = {"usr_anna": campaign, "usr_ben": campaign}
        notes = await said(bench, rules_file(text))
        assert [note.partition(":")[0] for note in notes] == [
            "rule 'Anna is away'",
            "rule 'Ben too'",
        ]
        assert len([one for one in bench.asked if is_question(one)]) == 1


@pytest.mark.parametrize("closed", [401, 402, 404, 500, "html"])
async def test_night_goes_on_without_senders(closed: Any) -> None:
    """That they can't be read is a note, and every task is changed."""
    async with bench_of(3, closed={"senders": closed}) as bench:
        notes = await said(bench, rules_file())
        assert len(patches(bench)) == 3
    assert len(notes) == 1
    assert notes[0].startswith("the campaigns that go on making tasks can't be read (")
