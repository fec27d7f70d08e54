"""A yardstick: a typical script with DictReader, aiohttp, `AsyncLimiter(20, 2)` and tenacity.

`python benchmarks/plain_script.py edits.csv results.jsonl`, with LEMLIST_BASE_URL and
LEMLIST_API_KEY set. With `none` as a third argument, there is no limit. The script leaves out blank
cells, retries, and logs the Task or the error of every row. It does nothing else.
"""

import asyncio
import contextlib
import csv
import json
import os
import sys
from typing import Any

import aiohttp
from aiolimiter import AsyncLimiter
from tenacity import retry, stop_after_attempt, wait_exponential

WORKERS = 16


async def main(path: str, results: str, rate: str = "20/2s") -> None:
    """Send every row of a CSV file."""
    limiter = contextlib.nullcontext() if rate == "none" else AsyncLimiter(20, 2)
    url = os.environ["LEMLIST_BASE_URL"] + "/tasks"
    auth = aiohttp.encode_basic_auth("", os.environ["LEMLIST_API_KEY"])
    with open(path, newline="") as file:  # noqa: ASYNC230, PTH123 - as in typical scripts
        rows = iter(list(csv.DictReader(file)))

    async with aiohttp.ClientSession(headers={"Authorization": auth}) as session:

        @retry(
            stop=stop_after_attempt(8), wait=wait_exponential(multiplier=0.5, max=10), reraise=True
        )
        async def send(body: dict[str, str]) -> Any:
            async with limiter, session.patch(url, json=body) as response:
                response.raise_for_status()
                return await response.json()

        async def worker() -> None:
            for row in rows:
                result: dict[str, Any] = {"id": row["id"]}
                try:
                    result["task"] = await send({k: v for k, v in row.items() if v})
                except (aiohttp.ClientError, TimeoutError) as error:
                    result["error"] = str(error)
                log.write(json.dumps(result) + "\n")

        with open(results, "w") as log:  # noqa: ASYNC230, PTH123 - as in typical scripts
            await asyncio.gather(*(worker() for _ in range(WORKERS)))


asyncio.run(main(*sys.argv[1:]))
