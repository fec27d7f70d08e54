"""Where requests go, and the key that they carry."""

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
    """A secret that does not show itself: `repr`, `str` and f-strings print `ApiKey(…)`.

    Args:
        value: the key. Blanks and line ends around it are dropped.

    Raises:
        ConfigError: it is empty, or no header could carry it. The message never holds it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        value = value.strip()
        if not value:
            raise ConfigError("the API key is empty")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError("the API key holds a blank or a character that no key has")
        self._value = value

    def reveal(self) -> str:
        """The key itself."""
        return self._value

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("an ApiKey is not to be pickled")

    @classmethod
    def find(cls, file: Path | None, environ: Mapping[str, str]) -> "ApiKey":
        """The key in `file` if one is given, else in `environ` under `LEMLIST_API_KEY`.

        A file that everybody can read is refused; one that our group can read too, if it is ours,
        so that we could have it otherwise. (Kubernetes and systemd hand out secrets that belong to
        root and can be read by a group of our own.)

        Raises:
            ConfigError: there is none, it can't be read, or others can read it too.
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
    """Where the edits go, and with which key.

    Attributes:
        api_key: of one team.
        base_url: `https://`, or `http://` on loopback; a slash at its end is dropped.
        timeout: seconds that one attempt may take, from connecting to the last byte.
        use_proxy: whether to obey `HTTPS_PROXY` and its like.
    """

    api_key: ApiKey
    base_url: str = DEFAULT_BASE_URL
    timeout: float = 30.0
    use_proxy: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", _checked_url(self.base_url))
        if not 0 < self.timeout < float("inf"):
            raise ConfigError(f"{setting('timeout')} is a number of seconds above 0")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, and only this machine."""
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
        raise ConfigError("the base URL holds a user name or password: the key goes elsewhere")
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment:
        raise ConfigError(f"the base URL {url!r} must look like {DEFAULT_BASE_URL}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"the base URL {url!r} would send the API key unencrypted: use https://"
            " (http:// is for this machine only)"
        )
    return url.strip().rstrip("/")
