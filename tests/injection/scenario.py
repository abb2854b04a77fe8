"""The work of one case: jobs of every kind with known answers, and the records of the log that no component can use."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple, cast

from connectors.payload_store import Payload
from schemas.contract import contract
from schemas.headers import request_headers
from schemas.records import EchoInput
from schemas.states import Lane
from streams import wiring
from streams.client.commands import CommandClient
from streams.client.request_encoder import RequestEncoder
from streams.client.submitter import Submitter
from tests.injection.world import World

URL = "http://backend.example/done"


class Expected(NamedTuple):
    """The only right end of a job. `message`: of its output, None without one."""

    state: str
    message: str | None
    callback: bool


#: Processor, message, options and the right end of each job; times are seconds from the start.
JOBS: tuple[tuple[str, str, dict[str, Any], Expected], ...] = (
    ("echo", "plain", {"callback_url": URL}, Expected("COMPLETED", "plain", True)),
    ("echo", "save", {"callback_url": URL}, Expected("COMPLETED", "save", True)),
    ("echo", "slow", {}, Expected("COMPLETED", "slow", False)),
    ("echo", "bulk", {"lane": Lane.BULK, "callback_url": URL}, Expected("COMPLETED", "bulk", True)),
    ("echo", "again", {"fail": "CONNECTION_ERROR", "max_attempts": 9}, Expected("COMPLETED", "again", False)),
    ("echo", "fail", {"fail": "INVALID_INPUT", "callback_url": URL}, Expected("FAILED", None, True)),
    ("echo", "later", {"not_before": 1.0}, Expected("COMPLETED", "later", False)),
    (
        "echo",
        "late",
        {"fail": "CONNECTION_ERROR", "deadline": 1.5, "max_attempts": 99, "callback_url": URL},
        Expected("EXPIRED", None, True),
    ),
    ("echo", "unwanted", {"not_before": 900.0, "cancel": True, "callback_url": URL}, Expected("CANCELLED", None, True)),
    ("echo", "unsent", {"unsent": True}, Expected("COMPLETED", "unsent", False)),
    ("leased", "leased", {"callback_url": URL}, Expected("COMPLETED", "leased", True)),
    ("leased", "save", {}, Expected("COMPLETED", "save", False)),
    ("leased", "again", {"fail": "CONNECTION_ERROR", "max_attempts": 9}, Expected("COMPLETED", "again", False)),
    ("leased", "slow", {"callback_url": URL}, Expected("COMPLETED", "slow", True)),
)
#: Records that nothing can decode, by topic: each becomes a dead letter.
GARBAGE = ("requests.echo", "requests.leased", "results.echo")


def submit(world: World) -> dict[str, Expected]:
    """Write the scenario to the log and the store; return the right end of each job by its id."""
    random.seed(0)
    expected = {}
    with Submitter(world.settings, source="test") as submitter, CommandClient(world.settings, by="test") as commands:
        for processor, message, given, end in JOBS:
            options = _options(world, given) | {"idempotency_key": f"{processor}-{message}"}
            input_ = EchoInput(message, fail=given.get("fail"))
            if given.get("unsent"):
                job_id = _accept(world, processor, input_, options)
            else:
                job_id = cast(Any, submitter).submit(processor, input_, **options).job_id
            expected[job_id] = end
            if given.get("cancel"):
                commands.cancel(job_id)
    producer = world.log.producer()
    for topic in GARBAGE:
        producer.produce(topic, b"garbage", b"k")
    producer.flush()
    return expected


def _options(world: World, given: Mapping[str, Any]) -> dict[str, Any]:
    times = {
        name: world.clock.now() + timedelta(seconds=given[name]) for name in ("not_before", "deadline") if name in given
    }
    kept = {name: value for name, value in given.items() if name in ("callback_url", "lane", "max_attempts")}
    return kept | times


def _accept(world: World, processor: str, input_: EchoInput, options: dict[str, Any]) -> str:
    """Accept a job by a row, as a program does that dies before it publishes the request."""
    made, topic = contract(processor), world.settings.topics.requests(processor)
    encoder = RequestEncoder(made, topic, wiring.codec(world.settings), True)
    header, claims, value = encoder.encode(input_, cast(Any, options))
    pairs = [
        (name, text.decode() if isinstance(text, bytes) else str(text))
        for name, text in request_headers(header, source="test", claims=[claim.uri for claim in claims])
    ]
    payload = Payload(header.job_id, header.run, processor, Lane.LIVE, header.job_id.encode(), value, pairs)
    with wiring.payload_store(world.settings) as store:
        store.accept(payload, check_in_s=0.5)
    return header.job_id
