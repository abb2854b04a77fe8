"""A flow whose dead letters `sluice dlq` shows and redrives, for tests of both."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.avsc import request_schema
from schemas.contract import AnyContract
from schemas.plain import to_plain
from schemas.records import ECHO, EchoInput, JobHeader, Request
from streams import wiring
from streams.log import kafka
from streams.sink.topic_table import print_topic_id, read_topics
from streams.testing import Flow
from streams.testing.services import Services
from streams.testing.worker import InProcessWorker
from streams.worker.child.loader import load
from tests.unit.streams.testing.shout import Shout

Sluice = Callable[..., Any]
REQUESTS = "requests.echo"


def publish(flow: Flow, value: bytes | None, fields: dict[str, str] | None = None, topic: str = REQUESTS) -> None:
    producer = flow.log.producer()
    producer.produce(topic, value, b"key", headers=[(name, text.encode()) for name, text in (fields or {}).items()])
    producer.flush()
    flow.settle()


def request(flow: Flow, job_id: str, made: AnyContract = ECHO) -> bytes:
    subject = f"{flow.settings.topics.requests(made.name)}-value"
    encoder = wiring.codec(flow.settings).encoder(subject, request_schema(made), register=True)
    return encoder.encode(to_plain(Request(JobHeader(job_id, made.name, flow.now, "a" * 64), EchoInput("hello"))))


def place_of(letter: dict[str, Any]) -> str:
    return f"{letter['topic']}[{letter['partition']}]@{letter['offset']}"


def only(sluice: Sluice, *options: str) -> dict[str, Any]:
    """Return the only open dead letter, as `sluice dlq list` and `show` see it."""
    [group] = sluice("list", *options)
    shown = sluice("show", group["fingerprint"])
    assert (group["letters"], shown["group"]["open"]) == (1, 1)
    assert sluice("show", place_of(shown["letter"]["letter"]))["letter"] == shown["letter"]
    letter: dict[str, Any] = shown["letter"]
    return letter


def redriven(flow: Flow, sluice: Sluice, *argv: str) -> None:
    sluice("redrive", *argv, "--detach")
    flow.advance(1)  # the rate allows as many rows as a second has
    flow.settle()


def states(flow: Flow, job_id: str) -> list[str]:
    """Return the outcome of each run of a job, as `outcomes.echo` has them: one record a run."""
    runs = {
        each.header.run: str(each.result.disposition) for each in flow.outcomes("echo") if each.header.job_id == job_id
    }
    assert len(runs) == sum(each.header.job_id == job_id for each in flow.outcomes("echo"))
    return [runs[number] for number in sorted(runs)]


def edit(tmp_path: Path, *operations: dict[str, Any]) -> str:
    file = tmp_path / "patch.json"
    file.write_text(json.dumps(operations))
    return str(file)


def restart(flow: Flow) -> None:
    """Start the sink and the timekeeper again, so that they see new topics at once."""
    flow._services.close()
    flow._services = Services(flow.settings, threading.Event())


def enable(flow: Flow) -> None:
    """Start a worker for `shout`."""
    names = read_topics(kafka.admin(flow.settings), flow.settings).topics
    worker = InProcessWorker(
        flow.settings,
        "shout",
        [load(Shout(), "cpu", None)],
        topic_ids={name: print_topic_id(topic.topic_id) for name, topic in names.items()},
        now=flow.clock.now,
        is_cancelled=flow._is_cancelled,
        on_progress=flow._on_progress,
        on_text=flow._on_text,
    )
    flow._workers["shout"] = worker
    flow._open.callback(worker.close)
