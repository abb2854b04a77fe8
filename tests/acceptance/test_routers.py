"""Two routers share the cases, and one dies: each case is joined once, and the other one takes all partitions over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.avsc import result_schema
from schemas.contract import contract
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import EchoOutput, EmbedOutput, JobHeader, Result, ResultInfo, Timings
from streams import wiring
from streams.admin import topics
from streams.health.ask import ask_all
from streams.log import kafka
from streams.settings import Settings
from tests.harness.services import Service
from tests.harness.topic_reader import read_topic
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.accept, pytest.mark.stack]

CASES = 2000
RULES = """
[[join]]
name = "both"
of.note.processor = "echo"
of.vector.processor = "embed"
[[join.submit]]
processor = "echo"
name = "third"
input = { message = "$note.output.message" }
"""
PATIENCE_S = 60.0


def test_two_routers_join_each_case_once_although_one_is_killed(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    ruled = settings.model_copy(update={"router_rules": tmp_path / "rules.toml"})
    topics.apply(ruled, wiring.contracts(ruled))
    first, second = Service(ruled, ["router"]), Service(ruled, ["router"])
    try:
        wait_until(
            lambda: all(0 < shares(ruled, each) < 6 for each in (first, second)), first.log.read_text, PATIENCE_S
        )
        finished(ruled, "echo", EchoOutput("hi", 2), range(CASES))
        finished(ruled, "embed", EmbedOutput([1.0]), range(CASES // 2))
        wait_until(lambda: joined(ruled), lambda: "nothing is joined", PATIENCE_S)
        first.kill()
        finished(ruled, "embed", EmbedOutput([1.0]), range(CASES // 2, CASES))
        wait_until(lambda: len(joined(ruled)) >= CASES, lambda: f"{len(joined(ruled))} of {CASES} joined", PATIENCE_S)
        assert shares(ruled, second) == 6
        assert len(joined(ruled)) == CASES
    finally:
        first.stop()
        assert second.stop() == 0


def shares(settings: Settings, service: Service) -> int:
    """Return how many partitions a router reads; 0 before it is ready."""
    found = [answer.status for answer in ask_all(settings.home) if answer.service_file.pid == service.pid]
    return int(found[0]["partitions"]) if found and found[0] is not None and found[0]["ready"] else 0


def finished(settings: Settings, processor: str, output: Any, cases: Iterable[int]) -> None:
    """Publish an outcome of each case."""
    now, names = datetime.now(UTC), settings.topics
    encoder = wiring.codec(settings).encoder(f"{names.results(processor)}-value", result_schema(contract(processor)))
    info = ResultInfo("succeeded", "worker", "cpu", Timings(now, now, now))
    producer = kafka.producer(settings)
    for case in cases:
        header = JobHeader(new_id(), processor, now, "", case_id=str(case))
        value = encoder.encode(to_plain(Result(header, info, output)))
        producer.produce(names.outcomes(processor), value, f"{header.job_id}:0".encode())
    assert producer.flush(30) == 0


def joined(settings: Settings) -> set[bytes]:
    """Return the ids of the joins' jobs."""
    return {record.key() for record in read_topic(settings, settings.topics.requests("echo"))}
