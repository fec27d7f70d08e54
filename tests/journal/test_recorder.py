"""Tests of the recorder: the log, and the file of failed rows beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bulkupdate.codec import replaced
from bulkupdate.errors import JournalError, RunStoppedError
from bulkupdate.journal.digests import CheckedRows, DigestFile
from bulkupdate.journal.directory import Mode, RunDirectory
from bulkupdate.journal.failed import FailedFile
from bulkupdate.journal.files import AppendOnlyFile
from bulkupdate.journal.recorder import Recorder
from bulkupdate.journal.results import read_journal
from bulkupdate.models import ErrorInfo, Outcome, Result, Row, unsent
from bulkupdate.reader import Input
from bulkupdate.stop import Stop
from tests.support.fakes import SetAfter

Write = Callable[..., Path]


class Recording:
    """A recorder of an input of 30 rows, in a run directory.

    Args:
        source: the input.
        directory: the run directory.
        stop: the stop of the run.
    """

    def __init__(self, source: Input, directory: RunDirectory, stop: Stop) -> None:
        self.rows = list(source.rows())
        self.files = directory.files
        self.failed = self.files.failed(source.format)
        self.recorder = Recorder.open(directory, source, stop)

    def settle(self, *numbers: int, outcome: Outcome = Outcome.FAILED) -> None:
        settled = [(self.rows[number - 1], result(number, outcome)) for number in numbers]
        self.recorder.record(settled)
        self.recorder.list_failed(settled)

    @property
    def listed(self) -> list[str]:
        """The ids in the failed file."""
        return [line.split(",")[0] for line in self.failed.read_text().splitlines()[1:]]

    @property
    def is_closed(self) -> bool:
        return self.recorder._log._descriptor < 0 and is_closed(self.recorder._failed)


def is_closed(failed: FailedFile) -> bool:
    file = failed._file
    return isinstance(file, AppendOnlyFile) and file._descriptor < 0


def result(number: int, outcome: Outcome = Outcome.FAILED) -> Result:
    error = ErrorInfo("bad_request", "no") if outcome is Outcome.FAILED else None
    return Result(
        row=number, id=f"opp_{number}", outcome=outcome, attempts=1, at="", error=error, sent={}
    )


@pytest.fixture
def path(write: Write) -> Path:
    return write("a.csv", "id,title", *(f"opp_{number},T" for number in range(1, 31)))


@contextmanager
def recording(path: Path, stop: Stop | None = None) -> Iterator[Recording]:
    out = path.with_name("a.run")
    with Input.open(path) as source, RunDirectory.open(out, Mode.NEW) as directory:
        yield Recording(source, directory, stop or Stop())


def test_last_five_failures_are_shown(path: Path) -> None:
    """The recorder keeps the last five unsuccessful rows for the user, and no success."""
    with recording(path) as run:
        for number in range(1, 21):
            run.settle(number)
        run.settle(21, outcome=Outcome.UPDATED)
        assert [shown.row for shown in run.recorder.recent] == [16, 17, 18, 19, 20]
        run.recorder.close()
        assert run.listed == [f"opp_{number}" for number in range(1, 21)]


def test_results_of_others_are_shown_too(path: Path) -> None:
    """Where others send the rows, their last failures are among the latest ones."""
    with recording(path) as run:
        run.recorder.take([conflict(run.rows[0]), unsent(run.rows[1], Outcome.UPDATED)])
        assert [shown.row for shown in run.recorder.recent] == [1]
        run.recorder.close()
        assert run.listed == ["opp_1"]


def test_report_that_can_not_be_removed_is_told(path: Path) -> None:
    """A report of an earlier session lacks what this one settles: the user must know of it."""
    report = path.with_name("a.run") / "report.html"
    with Input.open(path) as source, RunDirectory.open(report.parent, Mode.NEW) as directory:
        report.mkdir()
        recorder = Recorder.open(directory, source, Stop())
        recorder.close()
    (note,) = recorder.notes
    assert note.startswith(f"{report} is the report of an earlier session and can't be removed: ")


def test_log_that_another_program_wrote_to_is_told_at_the_end(path: Path) -> None:
    """What is in the log must be what the run has written there."""
    with recording(path) as run:
        run.settle(1, outcome=Outcome.UPDATED)
        with run.files.results.open("a") as log:
            log.write("\n")
        with pytest.raises(JournalError, match="another program has written to it"):
            run.recorder.close()


def test_causes_are_those_of_the_failed_file(path: Path) -> None:
    """The recorder counts the causes of the rows that are in the failed file."""
    with recording(path) as run:
        run.settle(1, 2, 3)
        run.settle(4, outcome=Outcome.UPDATED)
        assert [(cause.type, cause.count) for cause in run.recorder.causes] == [("bad_request", 3)]
        run.settle(2, outcome=Outcome.UPDATED)
        run.recorder.close()
        assert [(cause.type, cause.count) for cause in run.recorder.causes] == [("bad_request", 2)]


def test_failed_file_that_an_editor_saved_is_made_again(path: Path) -> None:
    """An editor that saves the failed file stops no run: the file is complete at the end."""
    with recording(path) as run:
        run.settle(1)
        run.failed.unlink()
        run.failed.write_text("an edit\n")
        run.settle(2)
        run.recorder.close()
        assert run.listed == ["opp_1", "opp_2"]
        assert run.failed.with_name("failed.1.csv").read_text() == "an edit\n"
        assert run.recorder.notes == [
            f"{run.failed} has been edited: kept as {run.failed.with_name('failed.1.csv')}"
        ]


def test_row_that_is_settled_again_leaves_the_failed_file(path: Path) -> None:
    """A row that succeeds after all is in the failed file no more once the run has ended."""
    with recording(path) as run:
        run.settle(1, 2)
        run.settle(1, outcome=Outcome.UPDATED)
        assert run.listed == ["opp_1", "opp_2"]
        earlier = run.recorder._failed
        run.recorder.close()
        assert run.listed == ["opp_2"]
        assert is_closed(earlier), "the earlier file is still open"
        assert run.recorder.failed_sha256 is not None


def test_failed_file_that_cannot_be_made_again_is_an_error(path: Path) -> None:
    """If the input has changed, the failed file is out of date, and closing says so."""
    with recording(path) as run:
        run.settle(1, 2)
        run.settle(1, outcome=Outcome.UPDATED)
        with path.open("a") as edits:
            edits.write("opp_31,T\n")
        with pytest.raises(JournalError, match=r"failed rows can't be listed: .* has changed"):
            run.recorder.close()
        assert run.listed == ["opp_1", "opp_2"]
        assert run.recorder.failed_sha256 is None
        assert run.is_closed
        log = [(read.row, read.outcome) for _, read in read_journal(run.files.results)]
        assert log[-1] == (1, Outcome.UPDATED)


def test_place_that_takes_no_new_failed_file_is_an_error(path: Path) -> None:
    """A failed file that can't be written again is left as it was, and all files are closed."""
    with recording(path) as run:
        run.settle(1)
        run.settle(1, outcome=Outcome.UPDATED)
        run.files.failed_part(run.recorder._source.format).mkdir()
        with pytest.raises(JournalError, match=r"failed\.part\.csv can't be opened"):
            run.recorder.close()
        assert run.listed == ["opp_1"]
        assert run.is_closed
        run.files.failed_part(run.recorder._source.format).rmdir()


def test_full_disk_is_an_error_of_the_failed_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed file that is ours and can't be written raises an error; the log has the row."""
    with recording(path) as run:
        settled: list[tuple[Row, Result]] = [(run.rows[0], result(1))]
        run.recorder.record(settled)

        def full(*_: object) -> None:
            raise JournalError("No space left on device")

        monkeypatch.setattr(run.recorder._failed, "append", full)
        with pytest.raises(JournalError, match="No space left"):
            run.recorder.list_failed(settled)
        assert [read.row for _, read in read_journal(run.files.results)] == [1]
        monkeypatch.undo()
        run.recorder.close()


def test_abort_leaves_the_failed_file_as_it_is(path: Path) -> None:
    """At an abort the failed file is not made again: the next session does it."""
    stop = Stop()
    with recording(path, stop) as run:
        run.settle(1)
        run.settle(1, outcome=Outcome.UPDATED)
        stop.abort()
        run.recorder.close()
        assert run.listed == ["opp_1"]
        assert run.is_closed


def test_stop_ends_the_reading_of_an_earlier_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop ends the reading of a long log, and no file is left open."""
    monkeypatch.setattr(CheckedRows, "fits", lambda *_: True)
    with recording(path) as run:
        run.settle(1)
        run.recorder.close()
        digests = DigestFile(run.recorder._directory.files.digests)
        with Input.open(path) as source:
            for row in source.rows():
                digests.add(row)
        digests.close()
        with pytest.raises(RunStoppedError), Input.open(path) as source:
            Recorder.open(run.recorder._directory, source, SetAfter(0))


def conflict(row: Row) -> Result:
    error = ErrorInfo("changed_since", "title is A now", field="title", expected="B", found="A")
    return unsent(row, Outcome.CONFLICT, error)


def test_conflicts_are_listed_with_what_was_found(path: Path) -> None:
    """A conflict is in the failed file with its reason, and among the latest failures."""
    with recording(path) as run:
        settled = [(run.rows[1], conflict(run.rows[1]))]
        run.recorder.record(settled)
        run.recorder.list_failed(settled)
        run.recorder.close()
        assert run.failed.read_text().splitlines()[1:] == ["opp_2,T,2,conflict,title is A now"]
        assert [(shown.row, shown.outcome) for shown in run.recorder.recent] == [(2, "conflict")]
        assert [(cause.outcome, cause.type) for cause in run.recorder.causes] == [
            ("conflict", "changed_since")
        ]


def test_conflicts_that_come_early_keep_the_order_of_the_input(path: Path) -> None:
    """In the failed file, a conflict stands after an earlier row that failed later."""
    with recording(path) as run:
        for number in (20, 7):
            settled = [(run.rows[number - 1], conflict(run.rows[number - 1]))]
            run.recorder.record(settled)
            run.recorder.list_failed(settled)
        run.settle(9)
        run.recorder.close()
        assert run.listed == ["opp_7", "opp_9", "opp_20"]


def test_failed_file_is_rebuilt_with_its_conflicts(path: Path) -> None:
    """The next session writes the conflicts of the log to the failed file again."""
    with recording(path) as run:
        digests = DigestFile(run.files.digests)
        for row in run.rows:
            digests.add(row)
        digests.close()
        already = replaced(unsent(run.rows[0], Outcome.UNCHANGED), reason="already")
        run.recorder.record([(run.rows[0], already), (run.rows[2], conflict(run.rows[2]))])
        run.recorder.close()
        run.failed.unlink()
        with Input.open(path) as source:
            again = Recorder.open(run.recorder._directory, source, Stop())
            assert again.ledger.counts(30)["conflict"] == again.ledger.counts(30)["unchanged"] == 1
            assert [cause.message for cause in again.causes] == ["title is A now"]
            again.close()
        assert run.listed == ["opp_3"]
