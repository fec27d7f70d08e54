"""Every command and code block of the README and the docs, run as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bulkupdate.cli import cli
from tests.commands import environment, serving
from tests.conftest import SAMPLES
from tests.pages import PAGES, ROOT, blocks

RUN_BY_CI = "python3 -m venv"

#: Kinds of blocks that nobody runs: what is said, and files that the tests of the recipes lint.
SHOWN = {"", "json", "text"}


def masked(text: str) -> str:
    """Output without what differs from run to run."""
    return re.sub(r"\d+\.\d+ (rows/s|requests/s|s)\b", "N \\1", text).strip()


def run(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(**variables),
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_does_what_it_says(page: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES, tmp_path / "samples")
    # Python blocks show unpaced requests too: where all rows of a window were used up just before,
    # these would be refused.
    with serving() as sandbox, serving("--rate", "none") as unlimited:
        for kind, title, text in blocks(page):
            if title:
                Path(title).write_text(text)
            elif kind == "console":
                command, _, expected = text.removeprefix("$ ").partition("\n")
                done = run("bash", "-c", command, **sandbox.environment)
                assert masked(done.stdout) == masked(expected)
            elif kind == "sh" and not text.startswith(RUN_BY_CI):
                done = run("bash", "-ec", text, **sandbox.environment)
                assert done.returncode == 0, done.stdout
            elif kind == "python":
                shutil.rmtree(tmp_path / "reassign.run", ignore_errors=True)
                done = run(sys.executable, "-c", text, **unlimited.environment)
                assert done.returncode == 0, done.stdout
            else:
                assert kind in SHOWN or text.startswith(RUN_BY_CI)


def test_ci_runs_the_readmes_two_set_up_commands() -> None:
    commands = [b.text for b in blocks(PAGES[0]) if b.text.startswith(RUN_BY_CI)]
    script = (ROOT / ".ci" / "run").read_text()
    assert len(commands) == 2
    assert "bulkupdate run samples/reassign.csv --sandbox" in commands[0]
    assert "python -m tests" in commands[1]
    assert "for last in 'bulkupdate run' 'python -m tests'" in script


def test_every_flag_is_documented() -> None:
    pages = {
        "run": PAGES[0],
        "check": PAGES[0],
        "completion": PAGES[0],
        "sandbox": ROOT / "docs" / "sandbox.md",
    }
    context = click.Context(cli)
    assert sorted(pages) == sorted(cli.list_commands(context))
    for name, page in pages.items():
        command = cli.get_command(context, name)
        assert command is not None
        documented = page.read_text()
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert any(f"`{opt}" in documented for opt in parameter.opts), (
                    name,
                    parameter.opts,
                )


def test_every_error_type_is_documented() -> None:
    documented = (ROOT / "docs" / "run-directory.md").read_text()
    from bulkupdate import errors

    abstract = {errors.TaskError, errors.RefusedError, errors.KeyRefusedError}
    abstract |= {errors.RateLimitedError}  # it never ends a row
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.TaskError) and kind not in abstract:
            assert f"`{kind.type}`" in documented


def test_every_guarantee_names_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", text)
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), name
    promises = text.partition("## What is not promised")[0].split("\n## ")[1:]
    assert len(promises) > 10
    for promise in promises:
        assert "**Tested by**" in promise, promise.splitlines()[0]
