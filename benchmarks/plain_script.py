"""The script that people write: aiohttp, `AsyncLimiter(20, 2)` and tenacity. A yardstick.

`python benchmarks/plain_script.py edits.csv`, with LEMLIST_BASE_URL and LEMLIST_API_KEY set; with
`none` behind it, nothing limits it.
"""

import asyncio
import contextlib
import csv
import os
import sys

import aiohttp
from aiolimiter import AsyncLimiter
from tenacity import retry, stop_after_attempt, wait_exponential

WORKERS = 16


async def main(path: str, rate: str = "20/2s") -> None:
    """Send every row of a CSV file."""
    limiter = contextlib.nullcontext() if rate == "none" else AsyncLimiter(20, 2)
    url = os.environ["LEMLIST_BASE_URL"] + "/tasks"
    auth = aiohttp.encode_basic_auth("", os.environ["LEMLIST_API_KEY"])
    with open(path, newline="") as file:  # noqa: ASYNC230, PTH123 - as people write it
        rows = iter(list(csv.DictReader(file)))

    async with aiohttp.ClientSession(headers={"Authorization": auth}) as session:

        @retry(stop=stop_after_attempt(8), wait=wait_exponential(multiplier=0.5, max=10))
        async def send(row: dict[str, str]) -> None:
            async with limiter, session.patch(url, json=row) as response:
                response.raise_for_status()
                await response.json()

        async def worker() -> None:
            for row in rows:
                await send(row)

        await asyncio.gather(*(worker() for _ in range(WORKERS)))


asyncio.run(main(*sys.argv[1:]))
