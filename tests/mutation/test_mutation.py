"""The driver of the mutation tests, on a module of a few lines."""

import textwrap
import tomllib
from pathlib import Path

import pytest

from tests.mutation.__main__ import (
    EQUIVALENT,
    all_mutants,
    equivalents,
    is_equivalent,
    modules,
    report,
)
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.trials import COMMANDS, ROOT, TESTS, Outcome, Reach, tried

SOURCE = '''"""A module."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LIMIT: "int" = 7
log = logging.getLogger(__name__)


def is_few(number: int, *, strict: bool = False) -> bool:
    """Whether a number is small."""
    log.info("judged %d", number + 1)
    if strict and not number:
        raise ValueError(f"{number + 1} is nothing")
    return number < LIMIT
'''


def changes(source: str) -> list[str]:
    return [mutant.change for mutant in mutants("small", textwrap.dedent(source))]


def test_only_what_a_program_does_is_mutated() -> None:
    """Texts, log messages, types and imports stay; numbers, conditions and comparisons change."""
    assert [(one.number, one.change) for one in mutants("small", SOURCE)] == [
        (9, "7 → 8"),
        (13, "False → True"),
        (16, "strict and (not number) → strict or not number"),
        (16, "not number → number"),
        (17, "raise ValueError(f'{number + 1} is nothing') → pass"),
        (18, "number < LIMIT → number <= LIMIT"),
    ]


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("a = [n for n in b if n]", "n → not n"),
        ("while a: pass", "a → not a"),
        ("a = b if c() else d", "c() → not c()"),
        ("a = min(b, c)", "min → max"),
        ("a.b = 'c'", "a.b = 'c' → pass"),
        ("a += b", "a += b → a -= b"),
        ("a(b)", "a(b) → pass"),
        ("async def a(): await b()", "await b() → pass"),
        ("for a in b: continue", "continue → break"),
        ("a = b - c", "b - c → b + c"),
        ("a = b is not c", "b is not c → b is c"),
    ],
)
def test_each_kind_of_mutation_is_made_once(source: str, changed: str) -> None:
    """Each kind of code has its mutation."""
    assert changes(source) == [changed]


def test_mutant_names_its_innermost_function() -> None:
    """A mutant names the function that it is in, with its class."""
    source = "a = 1\nclass B:\n    c = 2\n    def d(self):\n        def e(): f(3)\n        g()\n"
    found = {one.change: one.function for one in mutants("small", source)}
    assert found == {
        "1 → 2": "",
        "2 → 3": "B",
        "f(3) → pass": "B.d.e",
        "3 → 4": "B.d.e",
        "g() → pass": "B.d",
    }


def test_mutant_differs_in_one_place_and_leaves_no_trace() -> None:
    """Each mutant is the module with one change, and none has the change of another."""
    codes = [one.code(SOURCE) for one in mutants("small", SOURCE)]
    assert len(set(codes)) == len(codes)
    assert sum("number <= LIMIT" in code for code in codes) == 1
    assert sum("LIMIT: 'int' = 8" in code for code in codes) == 1


@pytest.mark.slow
def test_killed_and_surviving_mutants_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mutant that a test notices is killed, one that none notices survives and is printed."""
    files = {
        "bulkupdate/__init__.py": "",
        "bulkupdate/small.py": "def is_few(number):\n    return number < 7 and bool(number)\n",
        "tests/test_small.py": "from bulkupdate.small import is_few\n\n\n"
        "def test_few():\n    assert is_few(6)\n    assert not is_few(8)\n",
        "pytest.ini": "[pytest]\nmarkers = slow\n",
    }
    for name, content in files.items():
        (tmp_path / "small" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "small" / name).write_text(content)
    sample = list(mutants("small", files["bulkupdate/small.py"]))
    wanted = [one for one in sample if one.change == "7 → 8" or " or " in one.change]
    trials = list(tried(wanted, 1, tmp_path / "small", ["tests/test_small.py"], []))
    assert [(one.change, outcome) for one, outcome in trials] == [
        ("number < 7 and bool(number) → number < 7 or bool(number)", Outcome.KILLED),
        ("7 → 8", Outcome.SURVIVED),
    ]
    assert report(trials) == 1
    said = capsys.readouterr().out
    assert "small.py:2: return number < 7 and bool(number)\n    7 → 8\n" in said
    assert "1 killed, 0 hung, 1 survived: 50.0% of them noticed (at least 95%)" in said
    assert report(trials[:1]) == 0


def test_nearest_tests_of_a_line_go_first() -> None:
    """The tests that reach a line are run, those of its module first, then those of its package."""
    far, near, own = (
        "tests/cli/test_a.py::a",
        "tests/engine/test_b.py::b",
        "tests/engine/test_x.py::x",
    )
    lines = {3: [f"{far}|run", f"{near}[1]|run", f"{near}[2]|setup", "", f"{own}|run"], 9: [""]}
    reach = Reach({"engine/x": lines}, ["tests/cli", "tests/engine"])
    assert reach.tests(Mutant("engine/x", 0, 3, "", "", "")) == [own, near, far]
    assert reach.tests(Mutant("engine/x", 0, 4, "", "", "")) == [own, near, far]
    for elsewhere in (Mutant("engine/x", 0, 9, "", "", ""), Mutant("engine/y", 0, 3, "", "", "")):
        assert reach.tests(elsewhere) == ["tests/engine", "tests/cli"]


@pytest.mark.slow
def test_tests_that_fail_anyway_try_no_mutant(tmp_path: Path) -> None:
    """Where a test fails without any mutant, no mutant counts as killed."""
    (tmp_path / "small" / "bulkupdate").mkdir(parents=True)
    (tmp_path / "small" / "tests").mkdir()
    (tmp_path / "small" / "tests" / "test_small.py").write_text("def test_few(): assert False\n")
    mutant = Mutant("small", 0, 1, "", "a = 1", "1 → 2")
    with pytest.raises(RuntimeError, match=r"(?s)without any mutant:.*FAILED tests/test_small\.py"):
        list(tried([mutant], 1, tmp_path / "small", ["tests/test_small.py"], []))


def test_equivalent_mutant_is_known_by_its_line() -> None:
    """A listed mutant is left out wherever its line stands; another change of the line is not."""
    listed = equivalents(
        """
        [[mutant]]
        module = "small"
        function = "is_few"
        line = "return number < LIMIT"
        change = "number < LIMIT → number <= LIMIT"
        why = "LIMIT is no whole number"

        [[mutant]]
        module = "small"
        function = ""
        line = 'LIMIT: "int" = 7'
        change = "*"
        why = "any limit will do"
        """
    )
    for source in (SOURCE, "\n\n" + SOURCE):
        left = [one.number for one in mutants("small", source) if not is_equivalent(one, listed)]
        assert len(left) == 4
    assert not any(is_equivalent(one, listed) for one in mutants("other", SOURCE))


def test_every_listed_mutant_exists_and_has_a_reason() -> None:
    """Each entry of the list of equivalent mutants stands for one, or for all of its line."""
    text, found = EQUIVALENT.read_text(), all_mutants(modules())
    for name in equivalents(text):
        number = sum(is_equivalent(one, {name}) for one in found)
        assert number == 1 or (number and name[-1] == "*"), name
    assert all(len(one["why"]) > 10 for one in tomllib.loads(text)["mutant"])


def test_every_core_module_and_its_tests_exist() -> None:
    """Each module that is mutated exists, and so do the tests that should notice."""
    for module in modules():
        assert (ROOT / "bulkupdate" / f"{module}.py").exists()
    assert all((ROOT / test).exists() for test in (*TESTS, *COMMANDS))
