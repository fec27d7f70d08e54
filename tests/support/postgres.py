"""A PostgreSQL of the tests' own: a cluster in a temporary directory, as another user than root."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: What the tests wait for is not the disk, and a test restarts the server at once.
_NOT_SYNCED = ("fsync=off", "full_page_writes=off")
_SETTINGS = (
    "max_connections=200",
    "listen_addresses=127.0.0.1",
    "log_min_messages=fatal",
)


def found_programs() -> Path | None:
    """The directory of initdb and pg_ctl; None if they are not installed."""
    # Debian keeps them out of the path.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    initdb = str(versions[0]) if versions else shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


class Postgres:
    """A server with a cluster of its own.

    Args:
        programs: the directory of its programs.
        directory: an empty directory, in which a socket can be made: a short path.
        is_synced: whether it waits for the disk.

    Attributes:
        port: its port on 127.0.0.1.
    """

    def __init__(self, programs: Path, directory: Path, *, is_synced: bool = False) -> None:
        self._programs = programs
        self._settings = _SETTINGS if is_synced else (*_NOT_SYNCED, *_SETTINGS)
        self._directory = directory
        self._data = directory / "data"
        self._number = 0
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]

    def _run(self, program: str, *arguments: str) -> None:
        # PostgreSQL refuses to run as root.
        user = _other_user() if os.geteuid() == 0 else None
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user,
            group=None if user is None else pwd.getpwuid(user).pw_gid,
            extra_groups=None if user is None else [],
        )

    def create(self) -> None:
        """Create the cluster, and start it."""
        if os.geteuid() == 0:
            user = _other_user()
            os.chown(self._directory, user, pwd.getpwuid(user).pw_gid)
        locale = "--locale=C.UTF-8", "--encoding=UTF8"
        self._run("initdb", "-D", str(self._data), "-U", "tests", "-A", "trust", "-N", *locale)
        settings = "".join(f"{one.replace('=', ' = ', 1)}\n" for one in self._settings).replace(
            "127.0.0.1", "'127.0.0.1'"
        )
        own = f"port = {self.port}\nunix_socket_directories = '{self._directory}'\n"
        configuration = self._data / "postgresql.conf"
        configuration.write_text(configuration.read_text() + settings + own)
        self.start()

    def start(self) -> None:
        """Start the server, and wait for it."""
        self._run(
            "pg_ctl", "-D", str(self._data), "-w", "-l", str(self._directory / "log"), "start"
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: at once, as in a crash, or in another mode of pg_ctl."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def restart(self) -> None:
        """Restart the server, as after a crash."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """Kill one of the server's processes. It ends the others, and recovers, without a start."""
        import psycopg

        connection = psycopg.connect(self.dsn(), autocommit=True)
        with contextlib.closing(connection), contextlib.suppress(psycopg.OperationalError):
            os.kill(connection.info.backend_pid, signal.SIGKILL)
            connection.execute("SELECT pg_sleep(10)")
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.dsn()).close()
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return

    def dsn(self, name: str = "postgres") -> str:
        """The DSN of a database."""
        return f"postgresql://tests@127.0.0.1:{self.port}/{name}"

    def new(self) -> str:
        """The DSN of a new, empty database."""
        import psycopg

        self._number += 1
        name = f"tests_{self._number}"
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.dsn(name)


def _other_user() -> int:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise AssertionError("there is no other user than root")


def _stop_if_left(programs: Path, owner: Path) -> None:
    """Stop a server whose tests have ended without doing so."""
    with contextlib.suppress(OSError, ValueError, subprocess.CalledProcessError):
        if not Path(f"/proc/{int(owner.read_text())}").exists():
            Postgres(programs, owner.parent).stop()
            shutil.rmtree(owner.parent)


@contextlib.contextmanager
def running(programs: Path, *, is_synced: bool = False) -> Iterator[Postgres]:
    """A server, for a block. Servers are stopped whose tests were killed."""
    for left in Path("/tmp").glob("pg-*/owner"):  # noqa: S108
        _stop_if_left(programs, left)
    # The paths of pytest are too long for a socket, and others may not enter them.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as directory:
        server = Postgres(programs, Path(directory), is_synced=is_synced)
        (Path(directory) / "owner").write_text(str(os.getpid()))
        server.create()
        try:
            yield server
        finally:
            server.stop()
            if os.geteuid() == 0:
                os.chown(directory, 0, 0)
