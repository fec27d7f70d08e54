"""The DSN: where the database is, with its password."""

import re
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bulkupdate.errors import ConfigError, setting
from bulkupdate.lemlist.endpoint import read_secret

DSN_VARIABLE = "BULKUPDATE_FLEET_DSN"

_LONGEST = 4096

#: Shortest password that is looked for in messages. A shorter one would be found by chance.
_SHORTEST = 4

#: Hosts, or directories of sockets, and ports; several with commas between them.
_HOST = re.compile(r"[\w.,:/%\[\]-]*")
_PORT = re.compile(r"[0-9,]*")

#: A network that is cut says nothing. So a connection is given up after some seconds of silence.
#: What the DSN itself sets counts.
_DEFAULTS = {
    "application_name": "bulkupdate",
    "client_encoding": "UTF8",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class Dsn:
    """A DSN that is never printed: `repr`, `str` and f-strings show `Dsn(…)`.

    Args:
        value: `postgresql://user:password@host/name`, or `host=… dbname=…`. What it leaves out,
            libpq takes from its own variables and files (PGPASSWORD, ~/.pgpass).

    Raises:
        ConfigError: it is none. The message never contains it.
    """

    __slots__ = ("_parts",)

    def __init__(self, value: str) -> None:
        value = value.strip()
        if not value:
            raise ConfigError("the DSN of the database is empty")
        try:
            parts = conninfo_to_dict(value)
        except psycopg.Error:
            # Not shown, and not chained: the error quotes it.
            raise ConfigError(
                "the DSN of the database is wrong: it must look like"
                " postgresql://user:password@host/name, or host=… dbname=… user=…; in a password,"
                " write % as %25 and a blank as %20"
            ) from None
        host, port = str(parts.get("host") or ""), str(parts.get("port") or "")
        name = str(parts.get("dbname") or "")
        if not (_HOST.fullmatch(host) and _PORT.fullmatch(port)) or "@" in name or "\n" in value:
            # A sign of the password was taken for the end of it: the rest must not be shown.
            raise ConfigError(
                "the DSN of the database is wrong: in a user name or a password, write @ as %40,"
                " : as %3A, / as %2F, # as %23 and % as %25; and give it one line"
            )
        self._parts = {**_DEFAULTS, **parts}

    def reveal(self) -> str:
        """Return the DSN as text, for libpq."""
        return make_conninfo("", **self._parts)

    def redacted(self, text: str) -> str:
        """A text without the password."""
        password = str(self._parts.get("password") or "")
        return text.replace(password, "…") if len(password) >= _SHORTEST else text

    @property
    def where(self) -> str:
        """The host, the port and the name of the database, for people."""
        host = self._parts.get("host") or self._parts.get("hostaddr") or "this machine"
        port, name = self._parts.get("port"), self._parts.get("dbname")
        return f"{host}{f':{port}' if port else ''}{f'/{name}' if name else ''}"

    def __repr__(self) -> str:
        return "Dsn(…)"

    def __reduce__(self) -> str:
        raise TypeError("a Dsn can't be pickled")

    @classmethod
    def find(cls, file: Path | None, environ: Mapping[str, str]) -> "Dsn":
        """The DSN in a file if one is given, else in `BULKUPDATE_FLEET_DSN`.

        Args:
            file: the file, which only its owner may read; None for the variable.
            environ: the environment variables.

        Raises:
            ConfigError: there is none, it is wrong, or other users can read the file.
        """
        if file is not None:
            named = f"{setting('dsn_file')} {file}"
            if file.exists() and not file.is_file():
                raise ConfigError(f"{named} is not a regular file")
            return cls(read_secret(file, named, _LONGEST, "a DSN"))
        value = environ.get(DSN_VARIABLE, "")
        if not value.strip():
            raise ConfigError(
                f"no database: set {DSN_VARIABLE} to its DSN, or name a file that holds it with"
                f" {setting('dsn_file')}"
            )
        return cls(value)
