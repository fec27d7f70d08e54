"""Every check there is: lint, format, types, tests with coverage. `python -m tests`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("coverage", "erase"),
    ("coverage", "run", "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal"),
    ("coverage", "combine", "-q"),
    ("coverage", "report"),
)


def main() -> int:
    """Run all checks, the first that fails last."""
    environment = {name: value for name, value in os.environ.items() if "LEMLIST" not in name}
    for check in CHECKS:
        print("$", *check, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *check], cwd=ROOT, env=environment, check=False
        )
        if done.returncode:
            return done.returncode
    return 0


sys.exit(main())
