"""Whether a request comes from a program, or from a web page of another site.

A browser on this machine can reach the sandbox too. Under a name that its owner points at
127.0.0.1 ("DNS rebinding"), a web page could read the tasks as if they were its own. So a request
must name the sandbox itself as its host, and must not come from a page of another origin.
"""

import ipaddress
import re
import socket

from aiohttp import web

from bulkupdate.lemlist.endpoint import is_loopback

#: The name or the address in a `Host` header, and the port.
_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:/@\s]+))(?::\d{1,5})?")

#: Values of `Sec-Fetch-Site` for a request that no page of another origin made.
_OWN_SITES = ("same-origin", "none")


class Callers:
    """The requests that a sandbox answers.

    Args:
        host: the host on which the sandbox listens.
    """

    def __init__(self, host: str) -> None:
        self._host = host.lower()
        self._is_open = not is_loopback(self._host)

    def refusal(self, request: web.Request) -> web.Response | None:
        """The response to a request that is refused; None for any other request."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return web.Response(status=421, text="The Host of this request is not the sandbox")
        if _is_of_another_page(request, hosts[0]):
            return web.Response(status=403, text="A page of another origin can't use the sandbox")
        return None

    def _is_own(self, text: str) -> bool:
        """Whether a `Host` header names the sandbox.

        Its port may differ, as behind a tunnel: a web page has no influence on it.
        """
        match = _HOST.fullmatch(text)
        if match is None:
            return False
        name = (match["ipv6"] or match["name"]).lower()
        if is_loopback(name) or name == self._host:
            return True
        return self._is_open and _is_nobody_elses(name)


def _is_nobody_elses(name: str) -> bool:
    """Whether a name can't be one that a stranger points at this machine.

    An address can't, nor can the name of this machine, or one without a dot, as of a container.
    """
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return "." not in name or name == socket.gethostname().lower()


def _is_of_another_page(request: web.Request, host: str) -> bool:
    """Whether a browser says that a page of another origin made the request."""
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITES:
        return True
    origin = request.headers.get("Origin")
    return origin is not None and origin.lower() != f"http://{host.lower()}"
