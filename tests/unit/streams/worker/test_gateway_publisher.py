"""Results that are handed in through a gateway: kept until it has confirmed them, or has given the job to another worker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.lease_store import Grant
from schemas.errors import Conflict, InvalidInput, PayloadTooLarge, SluiceError, Unreachable
from schemas.states import Disposition
from schemas.topics import TopicNames
from streams.health.loop_threads import LoopThreads
from streams.worker.gateway import publisher as module
from streams.worker.gateway.publisher import GatewayPublisher
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.lease_source.held import HeldLease
from streams.worker.protocol import Answer
from tests.harness.waiting import wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
THREADS = LoopThreads("worker", None)


class Client:
    """Stands in for the gateway's client: raises the next of `errors`, if there is one, and keeps what it was sent."""

    def __init__(self) -> None:
        self.errors: list[SluiceError] = []
        self.sent: list[tuple[str, Any]] = []
        self.open = threading.Event()
        self.open.set()

    def call(self, method: str, path: str, body: Any) -> Any:
        self.open.wait(20)
        self.sent.append((path, json.loads(json.dumps(body))))
        if self.errors:
            raise self.errors.pop(0)
        return {}

    def close(self) -> None:
        self.sent.append(("closed", None))

    def paths(self) -> list[str]:
        return [path for path, _ in self.sent]


class Held:
    """A publisher, and one job that its worker holds."""

    def __init__(self) -> None:
        self.client, self.in_flight = Client(), InFlightJobs()
        client: Any = self.client
        self.too_large: list[InFlightJob] = []
        self.settled: list[HeldLease] = []
        self.publisher = GatewayPublisher(client, self.in_flight, "echo", "w1", self.too_large.append, THREADS)
        grant = Grant("j", 0, 1, 1, 0, 7, "echo", "live", b"k", b"v", (), None, NOW, NOW)
        self.lease = HeldLease(grant, 0.0, TopicNames(""), self.settled.append, lambda _: None)
        (self.job,) = self.in_flight.admit([self.lease.job])

    def answer(self, value: bytes = b"result", **more: Any) -> Answer:
        return Answer(self.job.slot, 1, Disposition.SUCCEEDED, "j", 0, 1, value, **more)

    def is_done(self) -> bool:
        return len(self.in_flight) == 0


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    made = Held()
    made.publisher.start()
    yield made
    made.client.open.set()
    made.publisher.stop(10)


def wait(held: Held) -> None:
    wait_until(held.is_done, lambda: str(held.client.sent))


def test_a_job_is_done_once_the_gateway_has_confirmed_and_not_before(held: Held) -> None:
    held.client.open.clear()
    held.publisher.publish(held.answer())
    assert not held.is_done()
    held.client.open.set()
    wait(held)
    ((path, body),) = held.client.sent
    assert (path, body["fence"], body["execution"], body["value"]) == ("/results", 7, 1, "cmVzdWx0")
    assert held.settled == [held.lease]


def test_a_result_is_kept_while_the_gateway_is_away(held: Held) -> None:
    held.client.errors += [Unreachable("it is away") for _ in range(5)]
    held.publisher.publish(held.answer())
    wait(held)
    assert held.client.paths() == ["/results"] * 6
    assert held.publisher.fault is None


def test_a_result_whose_lease_was_lost_is_discarded_and_nothing_is_settled(held: Held) -> None:
    held.client.errors.append(Conflict("another worker has it"))
    held.publisher.publish(held.answer())
    wait(held)
    assert held.lease.lost


def test_a_result_that_is_refused_leaves_its_lease_to_expire(held: Held) -> None:
    held.client.errors.append(InvalidInput("its header is wrong"))
    held.publisher.publish(held.answer())
    wait(held)
    assert held.lease.lost
    assert held.client.paths() == ["/results"]


def test_the_child_makes_a_smaller_result_of_one_that_is_too_large(held: Held) -> None:
    held.client.errors.append(PayloadTooLarge("it is too large"))
    held.publisher.publish(held.answer())
    wait_until(lambda: held.too_large == [held.job], lambda: str(held.client.sent))
    assert not held.is_done()


def test_progress_is_sent_after_results_and_lost_without_harm(held: Held) -> None:
    held.client.open.clear()
    held.publisher.write("progress", b"j", b"first")
    wait_until(lambda: not held.publisher._progress, lambda: "it was not taken")
    held.publisher.write("progress", b"j", b"second")
    held.publisher.publish(held.answer())
    held.client.errors.append(Unreachable("it is away"))
    held.client.open.set()
    wait_until(lambda: len(held.client.sent) == 3, lambda: str(held.client.sent))
    assert held.client.paths() == ["/progress", "/results", "/progress"]
    wait(held)


def test_a_dead_letter_alone_is_handed_in(held: Held) -> None:
    held.publisher.publish(held.answer(b"", dead_reason="UNDECODABLE", dead_message="no Avro"))
    wait(held)
    assert held.client.sent[0][1]["dead_reason"] == "UNDECODABLE"
    assert (held.publisher.published, held.publisher.dead_lettered) == (0, 1)
