"""Environment variables: a misspelt one is an error, as a misspelt flag or column is."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping

from bulkupdate.errors import ConfigError
from bulkupdate.lemlist.endpoint import BASE_URL_VARIABLE, KEY_VARIABLE

#: Prefix of the variables that set flags.
PREFIX = "BULKUPDATE_"

#: Variables with the prefix that set no flag.
_OTHERS = frozenset({f"{PREFIX}FLEET_DSN"})

_LEMLIST = "LEMLIST_"

#: How alike two names must be, from 0 to 1, for one to be a misspelling of the other.
_ALIKE = 0.8

#: Variables, with their values, that Kubernetes sets in a container for a Service whose name begins
#: with bulkupdate.
_OF_KUBERNETES = re.compile(
    r"BULKUPDATE_(\w+_)?"
    r"(SERVICE_(HOST|PORT)(_\w+)?=.*|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=.*|PORT=\w+://.*)"
)


def variable_of(flag: str) -> str:
    """The variable of a flag: `BULKUPDATE_MAX_ATTEMPTS` for `--max-attempts`."""
    return PREFIX + flag.removeprefix("--").replace("-", "_").upper()


def unknown(
    environ: Mapping[str, str], known: Collection[str], typed: Collection[str] = ()
) -> Iterator[str]:
    """A message for each variable that begins with the prefix and sets no flag.

    Args:
        environ: the environment variables.
        known: the variables of the flags of all commands.
        typed: the flags that no variable sets.
    """
    only_typed = {variable_of(flag): flag for flag in typed}
    flags = [name.removeprefix(PREFIX) for name in (*known, *_OTHERS)]
    for name, value in sorted(environ.items()):
        if not name.upper().startswith(PREFIX) or name in known or name in _OTHERS:
            continue
        if _OF_KUBERNETES.fullmatch(f"{name}={value}"):
            continue
        if flag := only_typed.get(name.upper()):
            yield f"${name} sets no flag: {flag} counts only where it is typed: unset ${name}"
            continue
        close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), flags, n=1)
        advice = f"did you mean ${PREFIX}{close[0]}?" if close else "unset it"
        yield f"${name} sets no flag: {advice}"


def check_key(environ: Mapping[str, str]) -> None:
    """Check that the variable of the API key has no other spelling.

    Raises:
        ConfigError: the variable is not set, but one with a similar name is.
    """
    _check(environ, KEY_VARIABLE, _similar(environ, KEY_VARIABLE))


def check_base_url(environ: Mapping[str, str]) -> None:
    """Check that the variable of the base URL has no other spelling: edits would go to lemlist.

    Raises:
        ConfigError: the variable is not set, but one with a similar name is, and holds a URL.
    """
    similar = _similar(environ, BASE_URL_VARIABLE)
    is_url = re.compile(r"\s*https?:", re.IGNORECASE).match
    _check(environ, BASE_URL_VARIABLE, [name for name in similar if is_url(environ[name])])


def _similar(environ: Mapping[str, str], wanted: str) -> list[str]:
    """The names of lemlist's that are a misspelling of one of ours, and of no other."""
    ours = [KEY_VARIABLE, BASE_URL_VARIABLE]
    return [
        name
        for name in sorted(environ)
        if name.upper().startswith(_LEMLIST)
        and difflib.get_close_matches(name.upper(), ours, n=1, cutoff=_ALIKE) == [wanted]
    ]


def _check(environ: Mapping[str, str], name: str, similar: list[str]) -> None:
    if name not in environ and similar:
        raise ConfigError(f"${similar[0]} is not read: did you mean ${name}?")
