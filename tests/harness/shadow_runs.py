"""Shadow runs of a flow's jobs, written to the log as the timekeeper writes them."""

from __future__ import annotations

from typing import Any

from schemas import headers
from schemas.avsc import request_schema
from schemas.contract import contract
from schemas.states import Lane
from streams import wiring
from streams.testing import Flow


def publish_shadow_run(flow: Flow, job_id: str, *, run: int = 1, version: str | None = None, **changes: Any) -> None:
    """Publish a job's request again as a shadow run, and let it run. `changes`: further fields of its header."""
    view = flow.job(job_id)
    names, codec = flow.settings.topics, wiring.codec(flow.settings)
    topics = [names.requests(view.processor, lane) for lane in Lane]
    found = [one for topic in topics for one in flow.records(topic) if _job_of(one) == job_id.encode()]
    request = codec.decode(found[0].value() or b"")
    header = request["header"] | {"run": run, "mode": "shadow", "lane": "bulk", "model_version": version} | changes
    subject = f"{names.requests(view.processor)}-value"
    value = codec.encoder(subject, request_schema(contract(view.processor))).encode(request | {"header": header})
    given: dict[str, Any] = dict(found[0].headers() or ())
    _publish(flow, view.processor, job_id, value, given | {headers.RUN: b"%d" % run, headers.MODE: b"shadow"})


def publish_undecodable_shadow_run(flow: Flow, job_id: str, run: int = 1) -> None:
    """Publish bytes that are no request, with the Kafka headers of a shadow run, and let a worker see them."""
    given = {headers.JOB: job_id.encode(), headers.RUN: b"%d" % run, headers.MODE: b"shadow"}
    _publish(flow, flow.job(job_id).processor, job_id, b"no request", given)


def _publish(flow: Flow, processor: str, job_id: str, value: bytes, given: dict[str, Any]) -> None:
    producer = flow.log.producer()
    topic = flow.settings.topics.requests(processor, Lane.BULK)
    producer.produce(topic, value, job_id.encode(), headers=list(given.items()))
    producer.flush()
    flow.settle()


def _job_of(message: Any) -> bytes | None:
    found: bytes | None = dict(message.headers() or ()).get(headers.JOB)
    return found
