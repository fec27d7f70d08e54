"""All checks of the project, or the fast ones: `python -m tests`, `python -m tests --fast`."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Directory of the programs in this Python's environment.
BIN = Path(sys.executable).parent

STATIC = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("lint-imports", "--no-logo"),
    ("mypy",),
)
PYTEST = ("pytest", "-q", "-n", "auto", "--dist", "worksteal")
WHOLE = (
    *STATIC,
    ("coverage", "erase"),
    ("coverage", "run", "-m", *PYTEST),
    ("coverage", "combine", "-q"),
    ("coverage", "report"),
)
FAST = (*STATIC, (*PYTEST, "-m", "not slow"))

#: What other versions of Python are tried with: what is written is the same, so it is not linted.
ONLY_TESTS = ((*PYTEST, "-m", "not slow"),)


def unwanted(variable: str) -> bool:
    """Whether the checks run without a variable of the environment."""
    # The tests start hundreds of processes. Without bytecode on disk, each compiles every module.
    return "LEMLIST" in variable or variable == "PYTHONDONTWRITEBYTECODE"


def main() -> int:
    """Run checks, the first that fails last."""
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--fast", action="store_true", help="leave out what takes long")
    kind.add_argument("--only-tests", action="store_true", help="likewise, and no linters")
    given = parser.parse_args()
    checks = FAST if given.fast else ONLY_TESTS if given.only_tests else WHOLE
    environment = {name: value for name, value in os.environ.items() if not unwanted(name)}
    for name, *arguments in checks:
        print("$", name, *arguments, flush=True)
        program = [str(BIN / name), *arguments]
        done = subprocess.run(program, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
    return 0


sys.exit(main())
