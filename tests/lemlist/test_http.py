"""One call to lemlist, of any method: what goes out, and what comes back."""

import gzip
import zlib
from typing import Any

import pytest

from bulkupdate import errors
from bulkupdate.lemlist.endpoint import ApiKey, Endpoint
from bulkupdate.lemlist.http import HttpClient, Response, _inflated, json_of

KEY = "s3cr3t-k3y"
ENDPOINT = Endpoint(api_key=ApiKey(KEY), base_url="https://api.example.com/api")


def as_it_came(response: Response) -> tuple[Any, bool]:
    """A judge that takes any JSON."""
    return response.redacted(json_of(response, "JSON")), True


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate"])
def test_body_that_is_compressed_is_read(encoding: str) -> None:
    """No compression is asked for, and no more than the wanted part is unpacked."""
    pack = gzip.compress if "gzip" in encoding.lower() else zlib.compress
    assert _inflated(pack(b'{"_id": "opp_1"}'), encoding, 100) == b'{"_id": "opp_1"}'
    assert _inflated(pack(b"x" * 5000), encoding, 100) == b"x" * 101
    assert _inflated(b"plain", encoding, 100) == b"plain"
    assert _inflated(pack(b"x"), "br", 100) == pack(b"x")


async def test_get_carries_its_query_and_no_body(http: Any) -> None:
    """A page of tasks is asked for by its number and its filters."""
    http.get("https://api.example.com/api/tasks?filters=[]&page=0", payload={"results": []})
    async with HttpClient(ENDPOINT) as client:
        query = {"filters": "[]", "page": "0"}
        answer = await client.call("GET", "/tasks", as_it_came, params=query)
    assert answer.result() == {"results": []}
    ((_, (sent,)),) = http.requests.items()
    assert sent.kwargs["data"] is None


async def test_response_is_free_of_the_key(http: Any) -> None:
    """A server that repeats the key has it redacted, in the body and in a redirect."""
    http.get("https://api.example.com/api/team", body=f'{{"name": "{KEY}"}}')
    http.get(
        "https://api.example.com/api/team", status=302, headers={"Location": f"/{KEY}?x={KEY}"}
    )
    async with HttpClient(ENDPOINT) as client:
        first, second = [await client.call("GET", "/team", as_it_came) for _ in range(2)]
    assert first.result() == {"name": "[redacted]"}
    with pytest.raises(errors.RedirectError, match=r"redirected to /\[redacted\], which"):
        second.result()


async def test_request_outside_of_the_block_is_a_bug() -> None:
    """A client that is not open does not send."""
    with pytest.raises(RuntimeError, match="async with"):
        await HttpClient(ENDPOINT).call("GET", "/team", as_it_came)


@pytest.mark.parametrize("body", [b"7", b'"text"', b"null", b"true"])
def test_bare_value_is_not_what_was_asked_for(body: bytes) -> None:
    """JSON that is no object and no list holds nothing that we take."""
    with pytest.raises(errors.BadResponseError, match="a 200 without a team"):
        json_of(Response(200, {}, body), "a team")
