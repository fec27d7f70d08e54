"""The endpoint: the base URL of the API, and the API key."""

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bulkupdate.errors import ConfigError, setting

DEFAULT_BASE_URL = "https://api.lemlist.com/api"


KEY_VARIABLE = "LEMLIST_API_KEY"


BASE_URL_VARIABLE = "LEMLIST_BASE_URL"


_LONGEST_KEY = 4096

#: A URL without a query, a fragment, blanks and control characters. Older versions of yarl take
#: `[::1]evil` for a host.
_PLAIN_URL = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[^\s?#\\/:\[\]@\x00-\x1f\x7f]+)(?::([0-9]*))?"
    r"((?:/[^\s?#\\\x00-\x1f\x7f]*)?)",
    re.IGNORECASE,
)

_PORTS = {"http": 80, "https": 443}

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


class ApiKey:
    """An API key that is never printed: `repr`, `str` and f-strings show `ApiKey(…)`.

    Args:
        value: the key. Blanks and line ends around it are removed.

    Raises:
        ConfigError: the key is empty, or can't be sent in a header. The message never contains it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise ConfigError("the API key is not a text: is its variable set?")
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
        if file is not None:
            return cls.in_file(file, f"{setting('api_key_file')} {file}")
        value = environ.get(KEY_VARIABLE, "")
        if not value.strip():
            raise ConfigError(
                f"no API key: set {KEY_VARIABLE}, or name a file that holds it with"
                f" {setting('api_key_file')}, or several accounts with {setting('accounts')}"
            )
        return cls(value)

    @classmethod
    def in_file(cls, file: Path, named: str) -> "ApiKey":
        """The key in a file, by the rules of `find`.

        Args:
            file: the file that holds the key.
            named: what messages call it.

        Raises:
            ConfigError: there is no key, it can't be read, or other users can read it.
        """
        value = read_secret(file, named, _LONGEST_KEY, "a key")
        try:
            return cls(value)
        except ConfigError as error:
            raise ConfigError(f"{named}: {error}") from None


def read_secret(file: Path, named: str, longest: int, what: str) -> str:
    """The text of a file that only its owner may read, or a group that can't change it.

    Args:
        file: the file.
        named: what messages call it.
        longest: most characters.
        what: what it holds, for messages.

    Raises:
        ConfigError: it can't be read, other users can read it, or it is too long.
    """
    try:
        with file.open(encoding="utf-8-sig") as text:
            status = os.fstat(text.fileno())
            is_ours = status.st_uid == os.geteuid()
            group = stat.S_IRWXG if is_ours else stat.S_IWGRP
            if status.st_mode & (stat.S_IRWXO | group):
                raise ConfigError(f"{named} can be read or written by others: chmod 600 {file}")
            value = text.read(longest + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{named} can't be read: {why}") from None
    if len(value) > longest:
        raise ConfigError(f"{named} is longer than {what}: more than {longest:,} characters")
    return value


@dataclass(frozen=True, slots=True, init=False)
class Endpoint:
    """The server that gets the edits, and the API key.

    Args:
        api_key: the API key of one team. A text becomes an `ApiKey`, so that it is never shown.
        base_url: as the attribute.
        timeout: as the attribute.
        use_proxy: as the attribute.

    Attributes:
        api_key: the API key of one team.
        base_url: the URL of the API: `https://`, or `http://` for this machine. It is kept as
            `normal_url` gives it, so that one server has one URL, unless its name is spelt with and
            without punycode.
        timeout: seconds that one attempt may take, from connecting to the last byte.
        use_proxy: whether to obey `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.

    Raises:
        ConfigError: a setting is wrong, or the proxy's URL is.
    """

    api_key: ApiKey
    base_url: str
    timeout: float
    use_proxy: bool

    def __init__(
        self,
        *,
        api_key: ApiKey | str,
        base_url: str = DEFAULT_BASE_URL,
        timeout: float = 30.0,
        use_proxy: bool = False,
    ) -> None:
        key = ApiKey(api_key) if isinstance(api_key, str) else api_key
        object.__setattr__(self, "api_key", key)
        object.__setattr__(self, "base_url", _checked_url(base_url))
        object.__setattr__(self, "timeout", timeout)
        object.__setattr__(self, "use_proxy", use_proxy)
        if not 0 < timeout < float("inf"):
            raise ConfigError(f"{setting('timeout')} must be a number of seconds above 0")
        self.proxy()

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine. Then the key may travel unencrypted."""
        return self.base_url.startswith("http://")

    def proxy(self) -> str | None:
        """The URL of the proxy to use, or None. It may hold a password.

        Raises:
            ConfigError: the URL in the environment is wrong. The message does not contain it.
        """
        # `check` needs no URLs, and nothing of HTTP and e-mail, which `urllib.request` imports.
        from urllib.request import proxy_bypass

        from yarl import URL

        if not self.use_proxy or self.is_local or proxy_bypass(URL(self.base_url).host or ""):
            return None
        if (named := named_proxy()) is None:
            return None
        variable, url = named
        try:
            parsed = URL(url)
            is_right = parsed.scheme in ("http", "https") and _is_host(parsed.raw_host or "")
        except ValueError:
            is_right = False
        if not is_right:
            # Not shown: in a URL that is wrong, nobody knows where the password is.
            raise ConfigError(
                f"the proxy's URL in {variable} is wrong: it must look like"
                " http://proxy.example:3128"
            )
        return url


def named_proxy() -> tuple[str, str] | None:
    """The variable that names a proxy for HTTPS, and its URL; None where none does."""
    from urllib.request import getproxies

    proxies = getproxies()
    for name in ("https", "all"):
        if url := proxies.get(name):
            return f"{name.upper()}_PROXY", url
    return None


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(url: str) -> str:
    from yarl import URL

    url = url.strip().rstrip("/")
    try:
        parsed = URL(url)
        user = parsed.raw_user, parsed.raw_password
    except ValueError:
        # Not shown: it may hold a password.
        raise ConfigError(
            f"the base URL is not a URL: it must look like {DEFAULT_BASE_URL}"
        ) from None
    if user != (None, None) or "@" in url:
        raise ConfigError("the base URL contains a user name or password: remove them")
    host = parsed.raw_host or ""
    is_plain = _PLAIN_URL.fullmatch(url) is not None and _is_host(host)
    if parsed.scheme not in ("https", "http") or not is_plain:
        raise ConfigError(f"the base URL {url!r} must look like {DEFAULT_BASE_URL}")
    if parsed.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"the base URL {url!r} would send the API key unencrypted: use https://"
            " (http:// is for this machine only)"
        )
    return normal_url(url)


def normal_url(url: str) -> str:
    """A base URL without what makes no difference (RFC 3986, 6.2.2.1 and 6.2.3).

    Scheme and host are in lower case, the port that the scheme has anyway is left out, and so are
    slashes at the end. Anything that is no base URL is returned as it is.
    """
    found = _PLAIN_URL.fullmatch(url)
    if found is None:
        return url
    scheme, host, port, path = found.groups(default="")
    scheme = scheme.lower()
    has_port = port and int(port) != _PORTS[scheme]
    return f"{scheme}://{host.lower()}{f':{int(port)}' if has_port else ''}{path.rstrip('/')}"


def _is_host(host: str) -> bool:
    """Whether `host` is an IP address, or a name that can be looked up (RFC 1123, 2.1)."""
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return len(host) <= 253 and all(map(_LABEL.fullmatch, host.split(".")))
