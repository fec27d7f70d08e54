"""A hostile server: it answers each request with bytes from a function."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

#: The bytes of an answer, in pieces. They may be endless.
Answer = Callable[[], Iterable[bytes]]


_NO_TEAM = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class HostileServer:
    """A server on loopback that reads requests and writes any bytes.

    Attributes:
        url: the base URL.
        requests: the received requests, but for those for the team: it has none.
    """

    def __init__(self, answer: Answer, certificate: Path | None = None) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop listening, and wait for the threads."""
        # Only a shutdown wakes a waiting accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.settimeout(20)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                while (request := self._read(connection)) is not None:
                    if b" /team" in request.partition(b"\r\n")[0]:
                        connection.sendall(_NO_TEAM)
                        continue
                    self.requests.append(request)
                    for piece in self._answer():
                        connection.sendall(piece)

    def _read(self, connection: socket.socket) -> bytes | None:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(1 << 16)
            if not piece:
                return None
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        lengths = (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        length = next(lengths, 0)
        while len(body) < length:
            body += connection.recv(1 << 16)
        return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def hostile(answer: Answer, certificate: Path | None = None) -> Iterator[HostileServer]:
    """A hostile server that runs until the block ends."""
    server = HostileServer(answer, certificate)
    try:
        yield server
    finally:
        server.close()
