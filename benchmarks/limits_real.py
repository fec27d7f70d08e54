"""Real limiters on this machine, for `python -m benchmarks.limits --only real`.

`npm install --prefix benchmarks/limiters` and `apt install nginx haproxy` bring them. What is not
there is left out.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import ROOT, Command, measure

LIMITERS = Path(__file__).parent / "limiters"


class Real(NamedTuple):
    """A limiter, and how to start it.

    Attributes:
        name: its name.
        is_there: whether it is installed.
        command: the command for a directory, its own port and that of a server without a limit.
    """

    name: str
    is_there: bool
    command: Callable[[Path, int, int], Command]


def _node(kind: str) -> Callable[[Path, int, int], Command]:
    return lambda _, port, __: ("node", LIMITERS / "server.js", str(port), kind)


def _nginx(directory: Path, port: int, backend: int) -> Command:
    text = (LIMITERS / "nginx.conf").read_text()
    path = directory / "nginx.conf"
    path.write_text(text.replace("@PORT@", str(port)).replace("@BACKEND@", str(backend)))
    return "nginx", "-p", directory, "-c", path, "-e", "stderr"


def _haproxy(_: Path, port: int, backend: int) -> Command:
    return "env", f"PORT={port}", f"BACKEND={backend}", "haproxy", "-f", LIMITERS / "haproxy.cfg"


def real_limiters() -> list[Real]:
    """The limiters, whether they are installed or not."""
    return [
        Real("rate-limiter-flexible", _has_module("rate-limiter-flexible"), _node("flexible")),
        Real("express-rate-limit", _has_module("express-rate-limit"), _node("express")),
        Real("nginx limit_req", shutil.which("nginx") is not None, _nginx),
        Real("HAProxy http_req_rate", shutil.which("haproxy") is not None, _haproxy),
    ]


def _has_module(name: str) -> bool:
    return (LIMITERS / "node_modules" / name).exists()


class Achieved(NamedTuple):
    """The result of a run.

    Attributes:
        percent: rows per second from the first to the last result, in percent of 20 in 2 s.
        refused: the number of 429s.
    """

    percent: float
    refused: int


def run_against(limiter: Real, rows: int) -> Achieved:
    """Run the command against a limiter on loopback, at its default rate."""
    with tempfile.TemporaryDirectory() as name:
        directory, port, backend = Path(name), _free_port(), _free_port()
        server = (sys.executable, "-m", "benchmarks.limits_server")
        options = ("--port", str(backend), "--silent", "--rate", "1000000/1s")
        with (
            _running((*server, *options), backend),
            _running(limiter.command(directory, port, backend), port),
        ):
            return _run(directory, port, rows)


def _run(directory: Path, port: int, rows: int) -> Achieved:
    edits, out = directory / "edits.csv", directory / "out"
    edits.write_text("id,title\n" + "".join(f"opp_{n},T{n}\n" for n in range(rows)))
    variables = {
        "LEMLIST_BASE_URL": f"http://127.0.0.1:{port}/api",
        "LEMLIST_API_KEY": "benchmark",
    }
    measure(("-m", "bulkupdate", "run", edits, "-q", "--out", out), variables)
    results = [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]
    times = [datetime.fromisoformat(one["at"]).timestamp() for one in results if "at" in one]
    summary = json.loads((out / "summary.json").read_bytes())
    percent = 100 * rows / (max(times) - min(times)) / 10
    return Achieved(percent, summary["rate_limited"])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def _running(command: Command, port: int) -> Iterator[None]:
    """A server, from the time when it listens until the block ends."""
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, env=dict(os.environ)
    )
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()
