"""The endpoint: the base URL of the API, and the API key."""

import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bulkupdate.errors import ConfigError, setting

DEFAULT_BASE_URL = "https://api.lemlist.com/api"


KEY_VARIABLE = "LEMLIST_API_KEY"


BASE_URL_VARIABLE = "LEMLIST_BASE_URL"


_LONGEST_KEY = 4096


class ApiKey:
    """An API key that is never printed: `repr`, `str` and f-strings show `ApiKey(…)`.

    Args:
        value: the key. Blanks and line ends around it are removed.

    Raises:
        ConfigError: the key is empty, or can't be sent in a header. The message never contains it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        value = value.strip()
        if not value:
            raise ConfigError("the API key is empty")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError("the API key contains a blank or a character that no key can have")
        self._value = value

    def reveal(self) -> str:
        """Return the key as text."""
        return self._value

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("an ApiKey can't be pickled")

    @classmethod
    def find(cls, file: Path | None, environ: Mapping[str, str]) -> "ApiKey":
        """The key from `file` if one is given, else from `LEMLIST_API_KEY` in `environ`.

        A file that all users can read is refused. A file that its group can read is refused if it
        belongs to this user, who could change that. (Kubernetes and systemd provide secrets that
        belong to root and that a group of this user can read.)

        Args:
            file: the file that holds the key, or None.
            environ: the environment variables.

        Raises:
            ConfigError: there is no key, it can't be read, or other users can read it.
        """
        if file is None:
            value = environ.get(KEY_VARIABLE, "")
            if not value.strip():
                raise ConfigError(
                    f"no API key: set {KEY_VARIABLE}, or name a file that holds it with"
                    f" {setting('api_key_file')}"
                )
            return cls(value)
        try:
            with file.open(encoding="utf-8-sig") as text:
                status = os.fstat(text.fileno())
                is_ours = status.st_uid == os.geteuid()
                group = stat.S_IRWXG if is_ours else stat.S_IWGRP
                if status.st_mode & (stat.S_IRWXO | group):
                    raise ConfigError(
                        f"{setting('api_key_file')} {file} can be read or written by others:"
                        f" chmod 600 {file}"
                    )
                return cls(text.read(_LONGEST_KEY))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"{setting('api_key_file')} {file} can't be read: {why}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The server that gets the edits, and the API key.

    Attributes:
        api_key: the API key of one team.
        base_url: the URL of the API: `https://`, or `http://` for this machine. A slash at the end
            is removed.
        timeout: seconds that one attempt may take, from connecting to the last byte.
        use_proxy: whether to obey `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    """

    api_key: ApiKey
    base_url: str = DEFAULT_BASE_URL
    timeout: float = 30.0
    use_proxy: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _checked_url(self.base_url))
        if not 0 < self.timeout < float("inf"):
            raise ConfigError(f"{setting('timeout')} must be a number of seconds above 0")


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"the base URL {url!r} is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError("the base URL contains a user name or password: remove them")
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment:
        raise ConfigError(f"the base URL {url!r} must look like {DEFAULT_BASE_URL}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"the base URL {url!r} would send the API key unencrypted: use https://"
            " (http:// is for this machine only)"
        )
    return url.strip().rstrip("/")
