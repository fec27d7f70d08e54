"""A server that means no good costs bounded time and memory, and gets no key that isn't its own.

Each case is the real command, as a process, against a server that answers with raw bytes.
"""

import base64
import functools
import gzip
import itertools
import json
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from tests.support.commands import COMMAND, bulkupdate, environment
from tests.support.hostile import Answer, hostile

pytestmark = pytest.mark.slow

Write = Callable[..., Path]
KEY = "s3cret-k3y"

#: Most that a run may take, whatever it is answered.
MOST_MEMORY = 150 << 20
MOST_SECONDS = 15

#: Runs a command and writes down its peak memory. In a process of its own: the kernel counts what
#: a process held before it became another program, and a test run holds much.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
with open("memory", "w") as file:
    file.write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""

TASK = b'{"_id": "opp_1"}'


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode()


def whole(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    return head(f"Content-Length: {len(body)}", *lines, status=status) + body


def once(answer: bytes) -> Answer:
    return lambda: [answer]


def endless(first: bytes, piece: bytes) -> Answer:
    return lambda: itertools.chain([first], itertools.repeat(piece))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Ran(NamedTuple):
    """A run of one row: how it ended, what it said, what became of the row."""

    code: int
    stderr: str
    result: dict[str, Any]


def run(url: str, *flags: str, rows: int = 1, timeout: float = 2, **variables: str) -> Ran:
    """Run the command on a few rows, and see that it stays within bounds."""
    Path("edits.csv").write_text("id,title\n" + "".join(f"opp_{n},T\n" for n in range(1, rows + 1)))
    settings = ("--timeout", str(timeout), "--max-attempts", "1", "--rate", "none", "-vv", *flags)
    variables |= {"LEMLIST_BASE_URL": url, "LEMLIST_API_KEY": KEY}
    begun = time.monotonic()
    with Path("stderr").open("wb") as stderr:
        process = subprocess.run(
            [sys.executable, "-IS", "-c", MEASURE, *COMMAND, "run", "edits.csv", *settings],
            stderr=stderr,
            env=environment(**variables),
            check=False,
        )
    assert time.monotonic() - begun < MOST_SECONDS
    assert int(Path("memory").read_text()) << 10 < MOST_MEMORY
    said = Path("stderr").read_text()
    log = Path("edits.run/results.jsonl").read_text()
    assert KEY not in said + log
    # No control character of the server's reaches the terminal.
    assert not re.search(r"[^\n -~\u00a0-\uffff]", said)
    results = log.splitlines()
    return Ran(process.returncode, said, json.loads(results[0]) if results else {})


@functools.cache
def squeezed(wbits: int) -> bytes:
    """256 MiB in a quarter of one."""
    squeeze = zlib.compressobj(wbits=wbits)
    return b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(256)) + squeeze.flush()


def bomb(encoding: str, wbits: int) -> Answer:
    """A body that bursts."""
    return lambda: [whole(squeezed(wbits), f"Content-Encoding: {encoding}")]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(endless(head("Content-Length: 99999999999999"), b"x" * 65536), "bad_response",
                     id="a body without end"),
        pytest.param(endless(head(), b"x" * 65536), "bad_response",
                     id="a body without end or length"),
        pytest.param(endless(head("Transfer-Encoding: chunked"), chunk(b"x" * 65536)),
                     "bad_response", id="chunks without end"),
        pytest.param(endless(head("Transfer-Encoding: chunked"), b"1;" + b"x" * 65536),
                     "timeout", id="a chunk's extension without end"),
        pytest.param(once(whole(TASK, "X-Long: " + "x" * 100_000)), "bad_response",
                     id="100 KB in a header"),
        pytest.param(once(whole(TASK, *(f"X-{n}: {'x' * 1000}" for n in range(100)))),
                     None, id="100 KB of headers"),
        pytest.param(endless(b"HTTP/1.1 200 OK\r\n", b"X-More: x\r\n" * 5000), "bad_response",
                     id="headers without end"),
        pytest.param(endless(b"", head(status="103 Early Hints") * 500), "timeout",
                     id="informational answers without end"),
        pytest.param(bomb("gzip", 31), "bad_response",
                     id="a gzip bomb"),
        pytest.param(bomb("deflate", 15), "bad_response", id="a deflate bomb"),
        pytest.param(once(whole(b"what", "Content-Encoding: gzip")), "bad_response",
                     id="gzip that is none"),
        pytest.param(once(whole(b"what", "Content-Encoding: rot13")), "bad_response",
                     id="an unknown encoding"),
        pytest.param(once(whole(b"[" * 1_000_000)), "bad_response", id="a million brackets"),
        pytest.param(once(whole(b'{"_id": "opp_1", "x": ' + b"[" * 150 + b"]" * 150 + b"}")),
                     "bad_response", id="a Task that nests very deep"),
        pytest.param(once(whole(b'{"_id": "opp_1", "x": [' + b"[]," * 150 + b"1]}")),
                     None, id="a Task with many brackets"),
        pytest.param(once(whole(b'{"_id": "opp_1", "n": ' + b"1" * 1_000_000 + b"}")), None,
                     id="a number of a million digits"),
        pytest.param(once(whole(b'{"_id": "opp_1", "t": "\\ud800"}')), None,
                     id="half of a character"),
        pytest.param(once(whole(b'{"_id": "\xff\xfe"}')), "bad_response", id="no text"),
        pytest.param(once(whole(b'{"_id": "opp_2"}')), "bad_response", id="another task"),
        pytest.param(once(whole(b'{"_id": {"$ne": 1}}')), "bad_response", id="an id that is none"),
        pytest.param(once(b"SSH-2.0-OpenSSH_9.2\r\n" * 10), "bad_response", id="another protocol"),
        pytest.param(once(whole(b"x", status="600 \x1b[31mred\x1b]0;owned\x07")), None,
                     id="escape sequences in the reason"),
        pytest.param(once(whole(b'{"error": "\\u001b[2J\\u009b31m \\u202eevil"}',
                                status="400 Bad")), "bad_request",
                     id="escape sequences in the message"),
        pytest.param(once(whole(b"\x1b]52;c;b3duZWQ=\x07" * 99, status="400 Bad")), "bad_request",
                     id="escape sequences in the body"),
        pytest.param(once(whole(TASK, "Set-Cookie: a=b; Domain=.example.com", status="204 No")),
                     "bad_response", id="a body where there is none"),
    ],
)  # fmt: skip
def test_hostile_answer_ends_in_typed_error(answer: Answer, kind: str | None) -> None:
    """A hostile answer costs bounded time and memory, and any error that it causes is typed."""
    answer()  # what takes long to make up is made
    with hostile(answer) as server:
        ran = run(server.url)
    if ran.result["outcome"] == "updated":
        assert kind is None
        return
    assert ran.code == 1
    assert kind in (None, ran.result["error"]["type"])
    assert len(ran.result["error"]["message"]) < 600
    assert ran.result["error"]["message"].isprintable()


BASIC = base64.b64encode(f":{KEY}".encode())
SPELT = b"".join(b"\\u%04x" % byte for byte in KEY.encode())


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"", f"Location: https://a.example/{KEY}", status="302 Found"),
        whole(b"", status=f"400 bad key {KEY}"),
        whole(b"", status=f"400 bad key {BASIC.decode()}"),
        f"HTTP/1.1 abc {KEY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nbad header {KEY}\r\n\r\n".encode(),
        whole(b'{"error": "bad key ' + SPELT + b'"}', status="400 Bad"),
        whole(b'{"error": "bad key ' + BASIC + b'"}', status="400 Bad"),
        whole(b'{"_id": "opp_1", "key": "' + SPELT + b'"}'),
        whole(b'{"_id": "opp_1", "key": "' + KEY.encode() + b'"}'),
        whole(b"x" * 490 + KEY.encode(), status="400 Bad"),
        whole(b"x" * 1990 + KEY.encode(), status="400 Bad"),
        whole(b'{"_id": "' + b"x" * 50 + KEY.encode() + b'"}'),
        whole(b'{"error": {"deep": ["' + SPELT + b'"]}}', status="400 Bad"),
        whole(b'{"error": "' + SPELT + b'" and no JSON', status="400 Bad"),
        whole(b'[["' + BASIC.replace(b"/", b"\\/") + b'"]]'),
    ],
)
def test_key_quoted_by_server_never_appears(answer: bytes) -> None:
    """A key that the server quotes appears neither on stderr nor in the run directory."""
    with hostile(once(answer)) as server:
        ran = run(server.url)
    for text in (ran.stderr, *(path.read_text() for path in Path("edits.run").iterdir())):
        assert KEY[:8] not in text
        assert BASIC.decode() not in text


def slowly(data: bytes) -> Answer:
    def pieces() -> Iterator[bytes]:
        for byte in data:
            time.sleep(0.1)
            yield bytes([byte])

    return pieces


@pytest.mark.parametrize(
    "answer",
    [slowly(whole(TASK)), slowly(head("Transfer-Encoding: chunked") * 9), lambda: [head()[:20]]],
    ids=["a byte at a time", "headers a byte at a time", "half a header, and silence"],
)
def test_slow_answer_ends_in_a_timeout(answer: Answer) -> None:
    """An answer that arrives too slowly ends in a timeout and an unconfirmed row."""
    with hostile(answer) as server:
        ran = run(server.url, timeout=1)
    assert (ran.code, ran.result["outcome"]) == (1, "unconfirmed")
    assert ran.result["error"]["type"] == "timeout"


def test_unrequested_gzip_answer_is_read() -> None:
    """A run asks for no compression, but reads an answer that is compressed with gzip."""
    squeezed = gzip.compress(TASK)
    with hostile(once(whole(squeezed, "Content-Encoding: gzip"))) as server:
        assert run(server.url).result["outcome"] == "updated"
        assert b"accept-encoding: identity" in server.requests[0].lower()


@pytest.mark.parametrize("status", ["301 x", "302 x", "307 x", "308 x"])
def test_redirect_to_other_host_is_not_followed(status: str) -> None:
    """A redirect to another host ends in an error, and that host gets no request."""
    with hostile(once(whole(TASK))) as elsewhere:
        location = f"Location: {elsewhere.url}/tasks"
        with hostile(once(whole(b"", location, status=status))) as server:
            ran = run(server.url)
        assert ran.result["error"]["type"] == "redirect"
        assert elsewhere.requests == []
        assert len(server.requests) == 1


def test_server_cookie_is_not_returned() -> None:
    """A run sends no cookie of the server back in its later requests."""
    with hostile(once(whole(TASK, "Set-Cookie: session=theirs"))) as server:
        # aiohttp keeps no cookies of a host that is an IP address, whichever jar it has.
        ran = run(server.url.replace("127.0.0.1", "localhost"), "--workers", "1", rows=3)
        assert len(server.requests) == 3
        assert b"theirs" not in b"".join(server.requests)
    assert ran.result["outcome"] == "updated"


@pytest.mark.parametrize(
    ("name", "is_known", "code"),
    [("127.0.0.1", True, 0), ("lemlist.example", True, 3), ("127.0.0.1", False, 3)],
    ids=["a certificate that is right", "one of another host", "one from an untrusted issuer"],
)
def test_wrong_certificate_receives_no_request(
    tmp_path: Path, name: str, is_known: bool, code: int
) -> None:
    """A server with a wrong certificate gets no request, and so no key."""
    authority = trustme.CA()
    known = tmp_path / "known.pem"
    (authority if is_known else trustme.CA()).cert_pem.write_to_path(str(known))
    certificate = tmp_path / "server.pem"
    authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    with hostile(once(whole(TASK)), certificate) as server:
        ran = run(server.url, SSL_CERT_FILE=str(known))
        assert len(server.requests) == (code == 0)
    assert ran.code == code
    if code:
        assert ran.result["error"]["type"] == "certificate"


def test_endless_retry_after_stops_the_run() -> None:
    """A `Retry-After` without a reasonable end stops the run after one request."""
    for asked in (
        "Retry-After: 99999999999999999999",
        "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT",
    ):
        answer = whole(b"x", asked, status="429 Too Many Requests")
        with hostile(once(answer)) as server:
            ran = run(server.url, "--overwrite")
            assert len(server.requests) == 1
        assert (ran.code, ran.result) == (3, {})
        assert "come back at" in ran.stderr


def test_control_characters_never_reach_terminal(write: Write) -> None:
    """Control characters of the file, its name or a flag never reach the terminal raw."""
    evil = "\x1b[31m\x9b2J\u202e\x07\U000e0041"
    write("evil.csv", "id,title,priority", f"opp_1,x,{evil}", f"{evil},x,")
    for arguments in (["check", "evil.csv"], ["run", "evil.csv", "--sandbox", "--skip-invalid"],
                      ["check", f"{evil}.csv"], ["run", "evil.csv", "--rate", evil]):  # fmt: skip
        done = subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, check=False, env=environment()
        )
        assert not re.search(r"[^\n -~\u00a0-\uffff]", done.stderr)
        assert not {"\u202e", "\U000e0041"} & set(done.stderr)


def test_json_log_keeps_escaped_values_intact(write: Write) -> None:
    """The JSON log escapes control characters and keeps the value that they belong to."""
    evil = "opp\u202e\U000e0041"
    write("evil.csv", "id,title,priority", f"{evil},x,none of these")
    done = bulkupdate("run", "evil.csv", "--log-format", "json", "--sandbox")
    first = json.loads(done.stderr.splitlines()[0])
    assert first["preview"]["problem_groups"][0]["examples"][0]["id"] == evil
    assert not {"\u202e", "\U000e0041"} & set(done.stderr)
    assert done.returncode == 2
