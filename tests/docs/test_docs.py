"""Every command and code block of the README and the docs, run as it stands."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

import bulkupdate
from bulkupdate import errors
from tests.conftest import SAMPLES, needed
from tests.reference import PAGE, reference
from tests.support.commands import Serving, environment, serving, start
from tests.support.pages import DOCS, PAGES, ROOT, Block, blocks
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

RUN_BY_CI = "python3 -m venv"

#: Kinds of blocks that are not run: output, and files that the tests of the recipes lint.
SHOWN = {"", "json", "text"}

#: The tutorial that serves a team of its own.
LEAVING = DOCS / "tutorials" / "leaving.md"

#: The pages whose commands need a database, and a worker.
OF_A_FLEET = [DOCS / "how-to" / "fleet.md", DOCS / "how-to" / "shared-limit.md"]
OTHER_PAGES = [page for page in PAGES if page not in (LEAVING, *OF_A_FLEET)]


def masked(text: str) -> str:
    """Output without what differs from run to run, and from day to day."""
    text = re.sub(r"(  due: .*\)), [\d,]+ in the past", r"\1", text)
    return re.sub(r"\d+\.\d+ (rows/s|requests/s|s)\b", "N \\1", text).strip()


def run(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(**variables),
        timeout=120,
        check=False,
    )


def tried(block: Block, sandbox: Serving, unlimited: Serving, **variables: str) -> tuple[str, str]:
    """Run a block as its page shows it. A block with a title is a file.

    Returns:
        What it printed, and what it was to print. Both are empty for a block that shows no output,
        and has not failed.
    """
    kind, title, text = block
    if title:
        Path(title).write_text(text)
    elif kind == "console":
        command, _, expected = text.removeprefix("$ ").partition("\n")
        done = run("bash", "-c", command, **sandbox.environment, **variables)
        return masked(done.stdout), masked(expected)
    elif kind == "sh" and not text.startswith(RUN_BY_CI):
        return failure(run("bash", "-ec", text, **sandbox.environment, **variables)), ""
    elif kind == "python":
        shutil.rmtree("reassign.run", ignore_errors=True)
        return failure(run(sys.executable, "-c", text, **unlimited.environment)), ""
    elif kind not in SHOWN and not text.startswith(RUN_BY_CI):
        return f"a block of the kind {kind!r}", ""
    return "", ""


def failure(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command printed that failed; empty for one that did not."""
    return f"exit code {done.returncode}: {done.stdout}" if done.returncode else ""


@pytest.mark.parametrize("page", OTHER_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_documented_block_works_as_shown(page: Path, tmp_path: Path) -> None:
    """Every command and code block of a page runs, and prints the output that it shows."""
    if "jq " in page.read_text():
        needed("jq")
    shutil.copytree(SAMPLES, tmp_path / "samples")
    # Python blocks show unpaced requests too: where all rows of a window were used up just before,
    # these would be refused.
    with serving() as sandbox, serving("--rate", "none") as unlimited:
        for block in blocks(page):
            printed, expected = tried(block, sandbox, unlimited)
            assert printed == expected


@pytest.mark.parametrize("page", OF_A_FLEET, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_fleet_works_as_shown(
    page: Path, tmp_path: Path, postgres: Postgres
) -> None:
    """Every command of a page about a fleet works as shown, with a database and a worker."""
    shutil.copytree(SAMPLES, tmp_path / "samples")
    dsn = postgres.new()
    with serving() as sandbox, contextlib.ExitStack() as stack:
        for block in blocks(page):
            printed, expected = tried(block, sandbox, sandbox, BULKUPDATE_FLEET_DSN=dsn)
            assert printed == expected
            if block.text.startswith("bulkupdate fleet worker\n"):
                variables = {**sandbox.environment, "BULKUPDATE_FLEET_DSN": dsn}
                process = start("fleet", "worker", **variables)
                stack.callback(process.communicate)
                stack.callback(process.kill)
                wait_for_worker(dsn)


def wait_for_worker(dsn: str) -> None:
    """Wait until a worker has told which team it has."""
    with psycopg.connect(dsn) as connection:
        while not connection.execute("SELECT FROM bulkupdate_accounts").fetchall():
            time.sleep(0.05)


@pytest.mark.timeout(300)
def test_leaving_tutorial_ends_where_it_began(tmp_path: Path) -> None:
    """Every block of this tutorial works as shown, and at its end each task is as before."""
    shutil.copytree(SAMPLES, tmp_path / "samples")
    _, made, served, *rest = blocks(LEAVING)
    assert run("bash", "-ec", made.text).returncode == 0
    program, command, *flags = shlex.split(served.text)
    assert (program, command) == ("bulkupdate", "sandbox")
    with serving(*flags) as sandbox:
        before = tasks_of(sandbox)
        for block in rest:
            printed, expected = tried(block, sandbox, sandbox)
            assert printed == expected
        after = tasks_of(sandbox)
    assert len(before) == 1000
    changed = [task for task in before if after.get(task) != before[task]]
    assert (changed, len(after)) == ([], len(before))


def tasks_of(sandbox: Serving) -> dict[str, dict[str, Any]]:
    """Every task of a sandbox with all its fields, by id."""
    url = f"{sandbox.url.removesuffix('/api')}/sandbox/tasks"
    with urlopen(url) as answer:  # noqa: S310 - on this machine
        return {task["_id"]: task for task in map(json.loads, answer)}


def test_ci_runs_both_readme_setup_commands() -> None:
    """The CI script runs the two setup commands of the README."""
    commands = [b.text for b in blocks(PAGES[0]) if b.text.startswith(RUN_BY_CI)]
    script = (ROOT / ".ci" / "run").read_text()
    assert len(commands) == 2
    assert "bulkupdate run samples/reassign.csv --sandbox --report" in commands[0]
    assert "python -m tests" in commands[1]
    assert " paste 'bulkupdate run'\n" in script
    assert " paste 'python -m tests'\n" in script


def test_command_reference_matches_the_help() -> None:
    """The reference page of the commands equals the page made from their help."""
    assert PAGE.read_text() == reference(), "python -m tests.reference makes it anew"


def test_python_reference_covers_every_public_name() -> None:
    """The Python reference documents every public name of the package."""
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    named = {line.rpartition(".")[2] for line in page.splitlines() if line.startswith("::: ")}
    in_errors = {name for name in bulkupdate.__all__ if hasattr(errors, name)}
    assert set(bulkupdate.__all__) - in_errors - {"__version__", "UNSET"} <= named
    assert "::: bulkupdate.errors" in page
    assert "`UNSET`" in page


def test_tutorial_takes_five_commands_like_ci() -> None:
    """The tutorial sets up as the README does, and takes five commands in all."""
    setting_up, *rest = list(blocks(ROOT / "docs" / "tutorials" / "edits.md"))
    first, second = setting_up.text.splitlines()
    assert f"{first} && " in PAGES[0].read_text()
    commands = [block.text.splitlines()[0] for block in rest if not block.title][:3]
    assert [first, second, *commands][2:] == [
        "$ bulkupdate check edits.csv",
        "$ bulkupdate run edits.csv --sandbox --report",
        "xdg-open edits.run/report.html      # on a Mac: open edits.run/report.html",
    ]


def test_every_relative_readme_link_exists() -> None:
    """Every relative link of the README leads to a file that exists."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGES[0].read_text())
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_site_builds_without_warning_or_external_load(tmp_path: Path) -> None:
    """The site builds without a warning, and its pages load nothing from other hosts."""
    # It writes beside its configuration.
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    done = run(
        sys.executable, "-m", "zensical", "build", "--strict",
        "--config-file", str(tmp_path / "mkdocs.yml"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    site = tmp_path / "build" / "site"
    for page in PAGES[1:]:
        html = site / page.relative_to(DOCS).with_suffix("") / "index.html"
        if page.stem == "index":
            html = html.parents[1] / "index.html"
        text = html.read_text()
        # Nothing is loaded from anywhere else.
        assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)', text) == []
        links = re.findall(r'(?:src|href)="(?!https?:|mailto:|#)([^"#?]+)', text)
        assert [link for link in links if not (html.parent / link).exists()] == [], page


def test_site_navigation_has_every_page() -> None:
    """Every page of the docs is in the navigation of the site, once."""
    named = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(str(page.relative_to(DOCS)) for page in PAGES[1:])


def test_run_directory_page_names_error_types() -> None:
    """The page about the run directory names every error type that can end a row."""
    documented = (ROOT / "docs" / "run-directory.md").read_text()
    from bulkupdate import errors

    abstract = {errors.TaskError, errors.RefusedError, errors.KeyRefusedError}
    abstract |= {errors.RateLimitedError, errors.BadListError}  # they never end a row
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.TaskError) and kind not in abstract:
            assert f"`{kind.type}`" in documented


def test_every_guarantee_names_existing_tests() -> None:
    """Every guarantee names its tests, and every named test exists."""
    text = (ROOT / "docs" / "guarantees.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), name
    promises = text.partition("## What is not promised")[0].split("\n## ")[1:]
    assert len(promises) > 10
    for promise in promises:
        assert "**Tested by**" in promise, promise.splitlines()[0]


def test_run_directory_page_names_reasons() -> None:
    """The page about the run directory names every reason and every key of the summary."""
    documented = (ROOT / "docs" / "run-directory.md").read_text()
    from bulkupdate.journal import Summary
    from bulkupdate.models import Reason

    assert [reason for reason in Reason if f"`{reason}`" not in documented] == []
    assert [key for key in Summary.__struct_fields__ if f"`{key}`" not in documented] == []
