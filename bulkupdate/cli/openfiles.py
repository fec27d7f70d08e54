"""Room for open files, of which each connection is one: made, or refused before a request."""

import resource

from bulkupdate.errors import ConfigError, setting

#: Files of a command beside its connections: its input, its run directory, its event loop.
_OWN = 32

#: Files of a lane beside its connections, if there are several.
_OF_LANE = 4

#: Connections that a sandbox has room for at least: those of a client with 16 workers, twice.
_SERVED = 32


def room_for_run(workers: int, lanes: int = 1, *, sandboxed: bool) -> None:
    """Make room for the connections of a run.

    Args:
        workers: most requests in flight of a lane.
        lanes: most lanes. They share connections where the system does not allow so many.
        sandboxed: whether the other ends of the connections are in this process too.

    Raises:
        ConfigError: the system does not allow so many open files.
    """
    ends = 2 if sandboxed else 1
    limit = _raised(_OWN + ends * workers * lanes + (_OF_LANE * lanes if lanes > 1 else 0))
    fit = (limit - _OWN) // ends
    if fit >= workers:
        return
    fewer = f"{setting('workers')} {fit}, or " if fit > 0 else ""
    raise ConfigError(
        f"{setting('workers')} {workers} needs {_OWN + ends * workers} open files, and {limit} are"
        f" allowed: set {fewer}ulimit -n {_OWN + ends * workers}"
    )


def room_for_sandbox() -> None:
    """Make room for the connections of clients: as much as the system allows.

    Raises:
        ConfigError: the system does not allow enough open files for one client.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _raised(most if most != resource.RLIM_INFINITY else _OWN + _SERVED)
    if limit < _OWN + _SERVED:
        raise ConfigError(
            f"{limit} open files are allowed, too few to serve clients: set ulimit -n"
            f" {_OWN + _SERVED} or more"
        )


def _raised(needed: int) -> int:
    """Raise the limit of this process to a number of files, as far as the system allows.

    Returns:
        The limit now.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == resource.RLIM_INFINITY or now >= needed:
        return needed if now == resource.RLIM_INFINITY else now
    limit = needed if most == resource.RLIM_INFINITY else min(needed, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    return limit
