"""What the design says of the source as a whole."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bulkupdate
from bulkupdate import errors
from tests.support.commands import BIN, environment
from tests.support.pages import ROOT

PACKAGE = Path(bulkupdate.__file__).parent
TESTS = Path(__file__).parent


def modules() -> Iterator[tuple[str, Path]]:
    """Every module: its name, or its folder's, and where it is."""
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        yield (relative.parts[0] if len(relative.parts) > 1 else path.stem), path


BROKEN = {
    "a low package imports a high one": (
        "reader/raw.py",
        "from bulkupdate.session import settings",
    ),
    "a sibling": ("plan/rowset.py", "from bulkupdate.engine import settings"),
    "a private module": ("ui/lines.py", "from bulkupdate.reader.text import Encoding"),
    "HTTP in the engine": ("engine/worker.py", "import aiohttp"),
    "a new package without a place": ("elsewhere/__init__.py", "import json"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("path", "line"), BROKEN.values(), ids=BROKEN)
def test_import_linter_finds_wrong_import(path: str, line: str, tmp_path: Path) -> None:
    """The linter of imports fails where an import points the wrong way."""
    copy = tmp_path / "bulkupdate"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / path).parent.mkdir(exist_ok=True)
    with (copy / path).open("a") as module:
        module.write(f"\n{line}\n")
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache", "--config", ROOT / "pyproject.toml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path)),
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout or "Missing layer" in done.stdout


def test_only_command_line_prints_or_exits() -> None:
    """Only the modules of the command line call `print` or `exit`."""
    for name, path in modules():
        if name in ("cli", "__main__"):
            continue
        calls = [
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        ]
        assert not {"print", "sys.exit", "exit"} & set(calls), name


def test_public_names_match_the_list() -> None:
    """The package exports exactly the listed names, in order."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    [listed] = [ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign)]
    assert bulkupdate.__all__ == sorted(listed)
    assert set(bulkupdate.__all__) == {
        "Account", "Accounts", "ApiKey", "BadListError", "BadRequestError", "BadResponseError",
        "BlockedError", "BulkUpdateError", "CertificateError", "Change", "ChangeLimit",
        "ConfigError", "ConnectError", "ConnectionLostError", "DeclinedError", "Endpoint",
        "Exported", "FailureLimit", "ForbiddenError",
        "Format", "InputError", "InvalidUpdateError", "JournalError", "KeyRefusedError",
        "Mode", "NoPermitError", "NotFoundError", "Observer", "Obstacle", "Outcome",
        "PaymentRequiredError",
        "Plan", "Preview", "Problem", "Progress", "ProxyRefusedError", "RateLimit",
        "RateLimitedError", "ReadOptions",
        "Reason",
        "RedirectError", "RefusedError", "RequestTimeoutError", "Result", "RetryPolicy",
        "RunConfig", "RunDirectoryError", "RunInUseError", "RunStoppedError", "Selection",
        "ServerError", "State", "Stop", "Summary", "Task", "TaskClient", "TaskError",
        "TaskUpdate", "TlsVersionError", "UNSET", "UnauthorizedError", "Undone",
        "WaitTooLongError", "__version__", "export_tasks", "plan_edits", "run", "undo_run",
        "End", "PastRun", "Removed", "Unread", "past_runs", "remove_runs", "write_nights",
        "update_tasks",
        "write_report",
    }  # fmt: skip
    assert dir(bulkupdate) == bulkupdate.__all__
    assert all(getattr(bulkupdate, name) is not None for name in bulkupdate.__all__)

    assert not hasattr(bulkupdate, "nothing")


def test_every_error_class_is_public() -> None:
    """Each exception of `bulkupdate.errors` can be imported from `bulkupdate`."""
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert {name for name in classes if name.endswith("Error")} <= set(bulkupdate.__all__)


@pytest.mark.slow
def test_type_checker_finds_misspelt_name() -> None:
    """The type checker reports a name that does not exist, and suggests the right one."""
    Path("program.py").write_text("from bulkupdate import Task, TaskClinet\n")
    done = subprocess.run(
        [BIN / "mypy", "--strict", "program.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'no attribute "TaskClinet"; maybe "TaskClient"?' in done.stdout
    assert "Found 1 error" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], {"aiohttp", "asyncio", "msgspec", "rich", "tenacity", "bulkupdate.reader"}),
        (["check", "edits.csv"], {"aiohttp", "asyncio", "rich", "tenacity", "xlrd", "xlsxwriter"}),
    ],
)
def test_commands_load_only_needed_modules(arguments: list[str], unneeded: set[str]) -> None:
    """A command loads none of the modules that it does not need."""
    Path("edits.csv").write_text("id,title\nopp_1,T\n")
    code = (
        "import sys, bulkupdate.cli; from click.testing import CliRunner;"
        f"done = CliRunner().invoke(bulkupdate.cli.cli, {arguments});"
        f"print(done.exit_code, {unneeded} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 set()\n"


def test_every_test_contains_an_assertion() -> None:
    """Every test function asserts something or expects an exception."""
    silent = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_") and not asserts(node):
                silent.append(f"{path.name}::{node.name}")
    assert silent == []


#: Calls that fail a test, beside `assert` itself.
ASSERTING = ("raises", "run_state_machine_as_test", "check_block")


def asserts(function: ast.AST) -> bool:
    """Whether a function holds an assertion, or expects an exception."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and last_name(node.func) in ASSERTING)
        for node in ast.walk(function)
    )


def last_name(called: ast.expr) -> str:
    """The name after the last dot of what is called; "" if it has none."""
    return getattr(called, "attr", getattr(called, "id", ""))
