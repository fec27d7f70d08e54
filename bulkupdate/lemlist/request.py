"""A request as bytes: its body, and a template for all that are sent after the first.

Nothing here changes what is sent: aiohttp's own classes send the same, in more steps. Tests compare
the two on the wire, and another fails if aiohttp no longer uses what is replaced here.
"""

from collections.abc import Mapping

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.hdrs import CONTENT_LENGTH, CONTENT_TYPE
from multidict import CIMultiDict


class EncodedJson(Payload):
    """A body that is JSON as bytes already.

    `aiohttp.BytesPayload` with a content type sends the same, but makes headers for each body.

    Args:
        data: the JSON.
    """

    _HEADERS = CIMultiDict({CONTENT_TYPE: "application/json"})

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def headers(self) -> CIMultiDict[str]:
        """The headers that the body adds to those of the request."""
        return self._HEADERS

    @property
    def size(self) -> int:
        """The length in bytes."""
        return len(self._data)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        return self._data.decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002
        """The body as it is sent."""
        return self._data

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body."""
        await writer.write(self._data)

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002 - it is the length of the body
    ) -> None:
        """Send the body."""
        await writer.write(self._data)


class Template:
    """A request with a body that is like another one, except for the body.

    Args:
        method: the method.
        target: the path and the query, as they are sent.
        headers: the headers of the other request, as they were sent.
        route: what aiohttp keeps the idle connections by that may carry it.
    """

    def __init__(
        self, method: str, target: str, headers: Mapping[str, str], route: ConnectionKey
    ) -> None:
        self.route = route
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = f"{CONTENT_LENGTH}: {headers[CONTENT_LENGTH]}"
        before, _, after = f"{method} {target} HTTP/1.1\r\n{head}\r\n".partition(length)
        self._before, self._after = f"{before}{CONTENT_LENGTH}: ".encode(), after.encode()

    def request(self, body: bytes) -> bytes:
        """The whole request as it is sent."""
        return b"%b%d%b%b" % (self._before, len(body), self._after, body)
