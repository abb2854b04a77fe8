"""Measures the latency of one job on an idle stack: from the call of `submit` to the arrival of its callback."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.receiver import Receiver
from bench.stats import percentile
from schemas.errors import SluiceError
from schemas.records import EchoInput
from streams.client.submitter import Submitter
from streams.settings import Settings

#: How long to wait for one callback, in seconds; the first job needs longer because caches are cold.
TIMEOUT_S = 30.0
MESSAGE = "x" * 200  # with its header about 500 bytes on the wire

#: Submits one job with this callback URL; returns its id.
Submit = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Milliseconds from submit to callback of one job at a time. `via`: kafka or http, the way of the submit."""

    via: str
    jobs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def measure(
    settings: Settings, jobs: int, warm_up: int, on_job: Callable[[], None], via: Sequence[str] = ("kafka",)
) -> list[LatencyReport]:
    """Submit `jobs` echo jobs by each way, one after another and the ways in turn, so that both meet the same machine.

    Raises SluiceError if a callback does not arrive.
    """
    pause = random.Random(1)
    times: dict[str, list[float]] = {name: [] for name in via}
    with Receiver() as receiver, Submitter(settings) as submitter, _http_door(settings, "http" in via) as over_http:
        doors: dict[str, Submit] = {"kafka": _kafka_door(submitter), "http": over_http}
        number = 0
        for _ in range(warm_up + jobs):
            for name in via:
                times[name].append(_one(doors[name], receiver, number))
                number += 1
                time.sleep(pause.uniform(0.002, 0.02))  # so that jobs do not fall in step with a timer in the system
            on_job()
    return [_report(name, each[warm_up:]) for name, each in times.items()]


def _report(via: str, times: list[float]) -> LatencyReport:
    p50, p90, p99 = (percentile(times, percent) for percent in (50, 90, 99))
    return LatencyReport(via, len(times), p50, p90, p99, max(times))


def _one(submit: Submit, receiver: Receiver, number: int) -> float:
    started = time.monotonic()
    job_id = submit(receiver.url)
    if not receiver.wait_for(number + 1, TIMEOUT_S):
        raise SluiceError(
            f"The callback of job {job_id} did not arrive within {TIMEOUT_S:.0f} s.",
            next_step=f"See `sluice status` and `sluice job {job_id}`.",
        )
    return (receiver.callbacks[-1].at - started) * 1000


def _kafka_door(submitter: Submitter) -> Submit:
    return lambda url: submitter.submit_nowait("echo", EchoInput(MESSAGE), callback_url=url)


@contextmanager
def _http_door(settings: Settings, wanted: bool) -> Iterator[Submit]:
    """Yield a submit over one connection to the gateway; it is opened only if it is wanted."""
    address = urlsplit(settings.gateway) if wanted else urlsplit("http://127.0.0.1:9")
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=TIMEOUT_S)

    def submit(url: str) -> str:
        body = json.dumps({"processor": "echo", "input": {"message": MESSAGE}, "callback_url": url})
        connection.request("POST", "/v1/jobs", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 202:
            raise SluiceError(f"The gateway answered {answer.status} to a submit.", next_step="See `sluice status`.")
        return str(json.loads(content)["job_id"])

    try:
        yield submit
    finally:
        connection.close()
