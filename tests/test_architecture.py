"""What the design says of the source as a whole."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bulkupdate

PACKAGE = Path(bulkupdate.__file__).parent
TESTS = Path(__file__).parent

#: Each library is known to these modules alone.
HOMES = {
    "aiohttp": {"lemlist", "sandbox"},
    "multidict": {"lemlist"},
    "aiolimiter": {"engine"},
    "click": {"cli"},
    "csv": {"reader", "journal", "plan"},
    "msgspec": {"codec", "journal", "lemlist", "models", "plan"},
    "charset_normalizer": {"reader"},
    "jinja2": {"report"},
    "markupsafe": {"report"},
    "matplotlib": {"report"},
    "prometheus_client": {"ui"},
    "python_calamine": {"reader"},
    "rich": {"ui"},
    "tenacity": {"engine"},
    "uvloop": {"cli"},
}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module: its name, or its folder's, and where it is."""
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        yield (relative.parts[0] if len(relative.parts) > 1 else path.stem), path


def imports(path: Path) -> set[str]:
    """The dotted names that a module imports at run time, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "bulkupdate":
            found.update(f"bulkupdate.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_each_library_is_known_where_it_belongs_and_nowhere_else() -> None:
    users: dict[str, set[str]] = {library: set() for library in HOMES}
    for name, path in modules():
        for imported in imports(path):
            if imported.split(".")[0] in users:
                users[imported.split(".")[0]].add(name)
    assert users == HOMES


def test_only_the_command_line_prints_or_exits() -> None:
    for name, path in modules():
        if name in ("cli", "__main__"):
            continue
        calls = [
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        ]
        assert not {"print", "sys.exit", "exit"} & set(calls), name


def test_the_public_names_are_these() -> None:
    assert bulkupdate.__all__ == sorted(bulkupdate.__all__)
    assert set(bulkupdate.__all__) == {
        "ApiKey", "BulkUpdateError", "ConfigError", "Endpoint", "FailureLimit", "Format",
        "InputError", "InvalidUpdateError", "JournalError", "Mode", "Observer", "Outcome",
        "Progress", "RateLimit", "ReadOptions", "Result", "RetryPolicy",
        "RunConfig", "RunDirectoryError", "RunInUseError",
        "RunStoppedError", "State", "Stop", "Summary", "Task", "TaskClient", "TaskError",
        "TaskUpdate", "__version__", "run", "update_tasks", "write_report",
    }  # fmt: skip
    assert all(getattr(bulkupdate, name) is not None for name in bulkupdate.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bulkupdate.nothing


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], {"aiohttp", "asyncio", "msgspec", "rich", "tenacity", "bulkupdate.reader"}),
        (["check", "edits.csv"], {"aiohttp", "asyncio", "rich", "tenacity", "python_calamine"}),
    ],
)
def test_what_a_command_does_not_need_is_not_loaded(
    arguments: list[str], unneeded: set[str]
) -> None:
    Path("edits.csv").write_text("id,title\nopp_1,T\n")
    code = (
        "import sys, bulkupdate.cli; from click.testing import CliRunner;"
        f"done = CliRunner().invoke(bulkupdate.cli.cli, {arguments});"
        f"print(done.exit_code, {unneeded} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 set()\n"


def test_every_test_asserts_something() -> None:
    silent = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_") and not asserts(node):
                silent.append(f"{path.name}::{node.name}")
    assert silent == []


#: Calls that fail a test, beside `assert` itself.
ASSERTING = ("pytest.raises", "run_state_machine_as_test")


def asserts(function: ast.AST) -> bool:
    """Whether a function holds an assertion, or expects an exception."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ASSERTING)
        for node in ast.walk(function)
    )
