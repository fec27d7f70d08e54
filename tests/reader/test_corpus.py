"""Tests with real files, each next to the expected result.

`NAME.json` holds the flags to read `NAME` with (`flags`) and the result: the detected format
(`found`), the exact request bodies in the order of the rows (`bodies`), and every problem as
`check` prints it (`problems`); or the message that refuses the file (`refused`).
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulkupdate.cli.check import CheckFlags, check_command
from bulkupdate.cli.command import flags_in_messages
from bulkupdate.errors import InputError
from bulkupdate.plan.preview import Inspection, inspect
from bulkupdate.reader import Input
from bulkupdate.ui import messages

CORPUS = Path(__file__).parents[1] / "corpus"
CASES = sorted(CORPUS.glob("*.json"))

#: Suffixes of the files that a process of its own reads.
SHEETS = (".xlsx", ".xlsb", ".xls", ".ods")


def read(name: str, flags: str) -> Iterator[tuple[str, Any]]:
    """The result of reading a file, in the format of its `.json`."""
    context = check_command.make_context("check", [*shlex.split(flags), name])
    try:
        options = CheckFlags(**context.params).read_options()
        with Input.open(Path(name), options=options) as source:
            found = messages.source_line(source).removeprefix(f"{name}: ")
            bodies = [
                json.loads(row.update.encode()) for row in source.rows() if row.update is not None
            ]
            inspection = Inspection()
            for inspection in inspect(source):  # noqa: B007 - the last one is complete
                pass
            problems = list(messages.problem_lines(inspection.preview(None)))[:-1]
    except InputError as error:
        yield (
            "refused",
            "\n".join(line.removeprefix(f"{name}: ") for line in str(error).splitlines()),
        )
        return
    yield from (("found", found), ("bodies", bodies))
    if problems:
        yield "problems", problems


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param(
            case, marks=pytest.mark.slow if case.stem.endswith(SHEETS) else (), id=case.stem
        )
        for case in CASES
    ],
)
def test_file_makes_expected_bodies_or_problems(
    expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the corpus makes the bodies, the problems or the refusal noted beside it."""
    monkeypatch.chdir(CORPUS)
    wanted = json.loads(expected.read_text(encoding="utf-8"))
    flags = wanted.pop("flags")
    with flags_in_messages():
        assert dict(read(expected.stem, flags)) == wanted


def test_corpus_is_large_and_complete() -> None:
    """The corpus has at least 60 cases, and an expectation for each file."""
    assert len(CASES) >= 60
    assert {path.stem for path in CASES} == {
        path.name
        for path in CORPUS.iterdir()
        if path.suffix not in (".json", ".py") and path.is_file()
    }
