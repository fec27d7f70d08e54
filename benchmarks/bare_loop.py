"""A yardstick: aiohttp with default settings, sixteen workers and ready bodies; nothing else.

`python benchmarks/bare_loop.py bodies.jsonl`, with LEMLIST_BASE_URL and LEMLIST_API_KEY set.
"""

import asyncio
import os
import sys

import aiohttp

WORKERS = 16


async def main(path: str) -> None:
    """Send every line of a file of JSON bodies."""
    with open(path, "rb") as file:  # noqa: ASYNC230, PTH123 - as in typical scripts
        bodies = iter(file.read().splitlines())
    url = os.environ["LEMLIST_BASE_URL"] + "/tasks"
    headers = {
        "Authorization": aiohttp.encode_basic_auth("", os.environ["LEMLIST_API_KEY"]),
        "Content-Type": "application/json",
    }

    async with aiohttp.ClientSession(headers=headers) as session:

        async def worker() -> None:
            for body in bodies:
                async with session.patch(url, data=body) as response:
                    response.raise_for_status()
                    await response.read()

        await asyncio.gather(*(worker() for _ in range(WORKERS)))


asyncio.run(main(sys.argv[1]))
