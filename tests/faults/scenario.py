"""Five hundred jobs, one kill, and what must be true afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.receiver import Receiver
from schemas.records import EchoInput
from streams import wiring
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.harness.topic_reader import read_topic

JOBS = 500
#: How long each batch of ten pretends to work, in milliseconds: half a second of work is ahead at the start.
DELAY_MS = 20
BATCH = 10
STRUCK_WITH_AT_LEAST = 50


@dataclass(frozen=True, slots=True)
class Aftermath:
    """The records and rows at the end, when every job had ended."""

    unfinished_at_strike: int
    submitted: set[str]
    received: set[str]
    outcomes: list[tuple[str, int]]
    rows: list[tuple[str, str]]
    delivered: list[str]
    candidates: dict[str, list[dict[str, Any]]]
    superseded: int


def submit_all(settings: Settings, receiver: Receiver) -> set[str]:
    with Submitter(settings) as submitter:
        ids = {
            submitter.submit_nowait("echo", EchoInput(f"job {n}", DELAY_MS), callback_url=receiver.url)
            for n in range(JOBS)
        }
        submitter.flush()
    return ids


def strike_during(receiver: Receiver, strike: Callable[[], None], patience_s: float) -> int:
    """Strike once the first callbacks are in; returns how many jobs had none yet at that moment."""
    assert receiver.wait_for(20, patience_s), "no callback came"
    unfinished = JOBS - len(receiver.ids)
    strike()
    return unfinished


def aftermath(settings: Settings, submitted: set[str], receiver: Receiver, unfinished: int) -> Aftermath:
    with psycopg.connect(settings.database) as database:
        outcomes = database.execute("SELECT job_id::text, run FROM outcomes").fetchall()
        rows = database.execute("SELECT job_id::text, state FROM runs").fetchall()
        delivered = database.execute("SELECT delivery_id::text FROM deliveries WHERE state = 'delivered'").fetchall()
        superseded = database.execute("SELECT count(*) FROM history WHERE kind = 'superseded'").fetchone()
    assert superseded is not None
    return Aftermath(
        unfinished_at_strike=unfinished,
        submitted=submitted,
        received=set(receiver.ids),
        outcomes=outcomes,
        rows=rows,
        delivered=[row[0] for row in delivered],
        candidates=candidates(settings),
        superseded=superseded[0],
    )


def candidates(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Every result that any worker published, by job: what the arbiter had to choose from."""
    codec = wiring.codec(settings)
    found: dict[str, list[dict[str, Any]]] = {}
    for message in read_topic(settings, settings.topics.results("echo")):
        plain = codec.decode(message.value() or b"")
        found.setdefault(plain["header"]["job_id"], []).append(plain)
    return found


def meaning(result: dict[str, Any]) -> str:
    """A result without what may differ between two honest executions of one job: who, when, and which execution."""
    telling = {name: result["result"][name] for name in ("disposition", "error", "model_sha256", "output_refs")}
    return json.dumps({"header": result["header"], "output": result["output"], **telling}, default=str, sort_keys=True)


def assert_exactly_once(after: Aftermath) -> None:
    """The promise, in full. Raises AssertionError with what was broken."""
    assert after.unfinished_at_strike >= STRUCK_WITH_AT_LEAST
    assert len(after.submitted) == JOBS
    assert sorted(job for job, _ in after.outcomes) == sorted(after.submitted), "one outcome for each job"
    assert sorted(after.rows) == sorted((job, "COMPLETED") for job in after.submitted), "one row for each job"
    assert len(after.delivered) == len(set(after.delivered)) == JOBS, "one delivery made for each job"
    assert after.received == set(after.delivered), "the backend has seen what the rows say"
    assert after.candidates.keys() == after.submitted
    for job, results in after.candidates.items():
        assert len({meaning(result) for result in results}) == 1, f"the results of {job} differ"
    duplicates = sum(len(results) - 1 for results in after.candidates.values())
    assert after.superseded == duplicates, "each duplicate result is marked superseded"
