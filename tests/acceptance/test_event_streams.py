"""Many idle streams of events, and a stream of submits beside them."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from streams.process import loop_factory, tune_gc
from streams.settings import Settings
from tests.harness.http_load import Load, Stream, open_loop
from tests.harness.services import Service, running
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.accept, pytest.mark.stack]

STREAMS = 2_000
RATE = 500.0
SECONDS = 20
CONNECTIONS = 64
#: Streams are opened so many at a time.
AT_ONCE = 100


@pytest.fixture
def gateway(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("SLUICE_GATEWAY_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setenv("SLUICE_GATEWAY_AUTH", "open")
    with running(settings, ["gateway"], ["sink"]) as (service, _):

        def ready() -> bool:
            with suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
            return False

        wait_until(ready, lambda: service.log.read_text()[-2000:])
        yield service


def submit(number: int) -> bytes:
    body = json.dumps({"processor": "echo", "input": {"message": f"job {number}"}}).encode()
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def follow(job: str) -> bytes:
    return f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: gateway\r\n\r\n".encode()


async def measured(host: str, port: int, jobs: list[str]) -> tuple[Counter[str], Load, Load, int]:
    """Return the answers of the streams, the submits without and with them, and how many streams were lost meanwhile."""
    loop = asyncio.get_running_loop()
    alone = await open_loop(host, port, [submit(n) for n in range(int(RATE * 5))], RATE, CONNECTIONS)
    streams: list[Stream] = []
    for start in range(0, STREAMS, AT_ONCE):
        new = [
            (await loop.create_connection(partial(Stream, follow(job)), host, port))[1]
            for job in jobs[start : start + AT_ONCE]
        ]
        streams += new
        await asyncio.gather(*(stream.begun for stream in new))
    began = Counter(stream.begun.result() for stream in streams)
    together = await open_loop(host, port, [submit(n) for n in range(int(RATE * SECONDS))], RATE, CONNECTIONS)
    lost = sum(stream.closed for stream in streams)
    for stream in streams:
        if stream.transport is not None:
            stream.transport.close()
    return began, alone, together, lost


def test_two_thousand_idle_streams_and_five_hundred_submits_a_second(settings: Settings, gateway: Service) -> None:
    host, port = os.environ["SLUICE_GATEWAY_ADDRESS"].split(":")
    batch = {"processor": "echo", "inputs": [{"message": f"{n}"} for n in range(STREAMS)]}
    answer = httpx.post(f"http://{host}:{port}/v1/batches", json=batch, timeout=60)
    assert answer.status_code == 202, answer.text
    tune_gc()  # the pauses of this process are not the gateway's
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        began, alone, together, lost = runner.run(measured(host, int(port), answer.json()["job_ids"]))
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    memory = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    for name, load in (("alone", alone), ("with streams", together)):
        shown = ", ".join(f"p{100 * share:g} {load.quantile(share) * 1000:.1f} ms" for share in (0.5, 0.9, 0.99, 0.999))
        print(f"submits {name}: {dict(load.statuses)}, {shown}, max {max(load.latencies) * 1000:.1f} ms")
    print(f"streams: {dict(began)}, lost {lost}; gateway {memory}")
    assert began == {"200": STREAMS}
    assert lost == 0
    assert together.statuses == {"202": int(RATE * SECONDS)}
    assert together.quantile(0.99) < 0.050
