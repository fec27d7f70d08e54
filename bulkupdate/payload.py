"""The body of a request, as aiohttp takes it."""

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.hdrs import CONTENT_TYPE
from multidict import CIMultiDict


class JsonPayload(Payload):
    """JSON that is encoded already.

    aiohttp makes a payload of plain bytes too, with headers of its own each time: a fiftieth of
    what a request costs.

    Args:
        data: the JSON.
    """

    _HEADERS = CIMultiDict({CONTENT_TYPE: "application/json"})

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def headers(self) -> CIMultiDict[str]:
        """What it adds to those of the request."""
        return self._HEADERS

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self._data)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """It as text, for whoever looks at a request."""
        return self._data.decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002
        """It as it is sent."""
        return self._data

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it."""
        await writer.write(self._data)

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002 - it is as long as it says
    ) -> None:
        """Send it."""
        await writer.write(self._data)
