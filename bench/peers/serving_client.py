"""The client of the servers that are compared: the same images, so many at a time, over HTTP.

    python serving_client.py URL direct 64 2000       # POST, and the answer has the vector
    python serving_client.py URL sluice 64 2000       # POST a job to the gateway, wait for its end, GET its result

Prints requests per second, milliseconds of all requests, and the first vectors, by which results are compared.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import uvloop

PIXELS, COMPARED = 64, 8
Ask = Callable[[aiohttp.ClientSession, str, list[float]], Awaitable[list[float]]]


async def direct(http: aiohttp.ClientSession, url: str, pixels: list[float]) -> list[float]:
    async with http.post(url, json={"pixels": pixels}) as answer:
        answer.raise_for_status()
        return (await answer.json(content_type=None))["vector"]


async def sluice(http: aiohttp.ClientSession, url: str, pixels: list[float]) -> list[float]:
    async with http.post(f"{url}/v1/jobs", json={"processor": "embed", "input": {"pixels": pixels}}) as answer:
        answer.raise_for_status()
        job = (await answer.json())["job_id"]
    async with http.get(f"{url}/v1/jobs/{job}", params={"wait": "60"}) as answer:
        answer.raise_for_status()
    async with http.get(f"{url}/v1/jobs/{job}/result") as answer:
        answer.raise_for_status()
        ended = await answer.json()
    return ended["output"]["vector"]


async def load(ask: Ask, url: str, at_once: int, count: int) -> dict[str, object]:
    random.seed(1)
    images = [[float(random.randint(0, 16)) for _ in range(PIXELS)] for _ in range(count)]
    waiting, waits = iter(enumerate(images)), [0.0] * count
    vectors: dict[int, list[float]] = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as http:

        async def client() -> None:
            for number, pixels in waiting:
                began = time.monotonic()
                vector = await ask(http, url, pixels)
                waits[number] = (time.monotonic() - began) * 1000
                if number < COMPARED:
                    vectors[number] = vector

        began = time.monotonic()
        await asyncio.gather(*(client() for _ in range(at_once)))
        seconds = time.monotonic() - began
    return {
        "per_s": count / seconds,
        "ms": waits,
        "vectors": [vectors[number] for number in range(min(COMPARED, count))],
    }


if __name__ == "__main__":
    address, way, clients, requests = sys.argv[1:]
    print(json.dumps(uvloop.run(load({"direct": direct, "sluice": sluice}[way], address, int(clients), int(requests)))))
