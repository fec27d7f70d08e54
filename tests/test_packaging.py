"""The wheel and the sdist, their metadata, and the dependencies."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import SAMPLES
from tests.support.commands import environment
from tests.support.pages import README, ROOT, blocks

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCE: str = PROJECT["urls"]["Source"]

#: Files that hatchling puts into every sdist.
ALWAYS = {".gitignore", "LICENSE", "PKG-INFO", "pyproject.toml"}

#: Files that may lie in a checkout and are not part of the project.
PRIVATE = (
    "edits.csv", "key", ".env", "notes/team.md", "reassign.run/results.jsonl",
    "samples/reassign.run/results.jsonl", ".venv/bin/activate", "bulkupdate/__pycache__/a.pyc",
)  # fmt: skip


def requirements(*extras: str) -> Iterator[Requirement]:
    """The requirements of the package and of extras, without those on the package itself."""
    optional = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            yield from requirements(*requirement.extras)
        else:
            yield requirement


def lower_bound(requirement: Requirement) -> Version | None:
    """The lowest version that a requirement allows."""
    bounds = [item.version for item in requirement.specifier if item.operator in (">=", "==")]
    return Version(bounds[0]) if bounds else None


def constraints() -> dict[str, list[Version]]:
    """The versions that CI installs, by name: one, or one for each version of Python."""
    found: dict[str, list[Version]] = {}
    for line in (ROOT / ".ci" / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, pinned = line.partition(";")[0].strip().partition("==")
            found.setdefault(canonicalize_name(name), []).append(Version(pinned))
    return found


def fits(requirement: Requirement, versions: list[Version]) -> bool:
    """Whether there are versions, and a requirement allows all of them."""
    return bool(versions) and all(map(requirement.specifier.contains, map(str, versions)))


def test_every_dependency_has_a_lower_bound() -> None:
    """Every dependency names the lowest version that works."""
    extras = PROJECT["optional-dependencies"]
    assert [str(r) for r in requirements(*extras) if lower_bound(r) is None] == []


def test_constraints_fit_every_dependency() -> None:
    """The constraints of CI name a version that is allowed for every test dependency."""
    pinned = constraints()
    unfit = [
        str(requirement)
        for requirement in requirements("test")
        if not fits(requirement, pinned.get(requirement.name, []))
    ]
    assert unfit == [], ".ci/renew makes the constraints anew"


@pytest.mark.skipif(
    "LOWEST_DEPENDENCIES" not in os.environ, reason="$LOWEST_DEPENDENCIES: only .ci/run sets it"
)
def test_lowest_run_has_the_lowest_dependencies() -> None:
    """The run of CI with the lowest dependencies has the versions that are promised to work."""
    installed = {
        str(requirement): Version(version(requirement.name))
        for requirement in requirements("excel", "fast", "fleet", "metrics", "report")
    }
    assert installed == {
        str(requirement): lower_bound(requirement)
        for requirement in requirements("excel", "fast", "fleet", "metrics", "report")
    }


def test_ci_tests_every_promised_python() -> None:
    """CI runs the tests with every version of Python that the classifiers name."""
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    script = (ROOT / ".ci" / "run").read_text()
    *others, oldest = re.findall(r"^part 'Python (3\.\d+),", script, re.MULTILINE)
    assert named == [oldest, *others]
    assert PROJECT["requires-python"] == f">={named[0]}"


@pytest.mark.slow
def test_stubborn_test_fails_at_its_time_limit(tmp_path: Path) -> None:
    """A test that can't be interrupted fails at the time limit that every test has."""
    (tmp_path / "test_stubborn.py").write_text(
        "import asyncio\n"
        "async def test_stubborn():\n"
        "    while True:\n"
        "        try: await asyncio.sleep(60)\n"
        "        except asyncio.CancelledError: pass\n"
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", ".",
            "-p", "no:cacheprovider", "-o", "timeout=1", ".",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Timeout" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist of a checkout in which other files lie."""
    copy = tmp_path_factory.mktemp("packaging") / "checkout"
    # Data of coverage comes and goes while tests run.
    unneeded = shutil.ignore_patterns(
        ".git", ".*_cache", ".coverage*", ".hypothesis", ".venv", "build", "*.run"
    )
    shutil.copytree(ROOT, copy, ignore=unneeded)
    for name in PRIVATE:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("private\n")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", "../dist"],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return copy.parent / "dist"


def wheel(built: Path) -> Path:
    [found] = built.glob("*.whl")
    return found


def description(built: Path) -> str:
    """What an index shows."""
    with zipfile.ZipFile(wheel(built)) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        return Metadata.from_email(archive.read(name)).description or ""


@pytest.mark.slow
def test_twine_finds_nothing(built: Path) -> None:
    """The wheel and the sdist pass twine's check, in which warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


@pytest.mark.slow
def test_sdist_holds_the_sources_and_nothing_else(built: Path) -> None:
    """The sdist has sources, tests and docs, and no file that merely lies in a checkout."""
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(PRIVATE) & names == set()
    assert {name.partition("/")[0] for name in names} == ALWAYS | {
        ".ci", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "benchmarks", "bulkupdate", "docs",
        "mkdocs.yml", "samples", "tests",
    }  # fmt: skip
    assert {"bulkupdate/py.typed", "docs/index.md", "tests/conftest.py"} <= names


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    """The wheel has the files of the package, its metadata and its license."""
    with zipfile.ZipFile(wheel(built)) as archive:
        names = set(archive.namelist())
    package = {str(p.relative_to(ROOT)) for p in (ROOT / "bulkupdate").rglob("*") if p.is_file()}
    packed = {name for name in names if name.startswith("bulkupdate/")}
    assert packed == {name for name in package if "__pycache__" not in name}
    info = {name.partition("/")[2] for name in names - packed}
    assert info == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.slow
def test_every_link_works_on_an_index(built: Path) -> None:
    """What an index shows has absolute links; those into the repository name files that exist."""
    links = re.findall(r"\]\(([^)]+)\)", description(built))
    raw = SOURCE.replace("github.com", "raw.githubusercontent.com")
    ours = [link for link in links if link.startswith((SOURCE, raw))]
    assert len(ours) > 20
    assert f"{raw}/main/docs/images/terminal.png" in ours
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    for link in ours:
        path, _, anchor = re.sub(r".*?/main/", "", link).partition("#")
        assert (ROOT / path).exists(), link
        assert not anchor or anchor in anchors(ROOT / path), link


def test_project_urls_lead_to_existing_files() -> None:
    """The addresses of the project lie in one repository and name files that exist."""
    for url in PROJECT["urls"].values():
        assert url.startswith(SOURCE)
        if "/main/" in url:
            assert (ROOT / url.partition("/main/")[2]).exists(), url


@pytest.mark.slow
@pytest.mark.timeout(300)  # it installs from the package index
def test_wheel_alone_runs_the_readme_command(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's first command runs with the wheel, where there is nothing else but a sample."""
    monkeypatch.delenv("PYTHONPATH")
    shutil.copytree(SAMPLES, tmp_path / "samples")
    command = next(block.text for block in blocks(README) if block.kind == "sh")
    assert "'.[report]'" in command
    done = subprocess.run(
        ["bash", "-c", command.replace("'.[report]'", f"'{wheel(built)}[report]'")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "40 updated" in done.stdout
    assert "All 40 rows are done." in (tmp_path / "reassign.run" / "report.html").read_text()
