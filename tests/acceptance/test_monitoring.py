"""A job among a million: by a scan of its topic, and by Postgres."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
import uuid
from typing import Any

import psycopg
import pytest
from confluent_kafka import TopicPartition

from schemas.errors import ExitCode
from schemas.records import EchoInput
from streams import wiring
from streams.admin import tail
from streams.cli.top_snapshot import TopCollector
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.settings import Settings
from tests.harness.services import SLUICE, environment

pytestmark = pytest.mark.accept

RECORDS = 1_000_000
SCAN_S = 30.0
LOOK_UP_S = 0.1

_ROWS = """
INSERT INTO topics VALUES (%(topic)s, 'requests.echo') ON CONFLICT DO NOTHING;
INSERT INTO jobs (job_id, created_at, current_run, tenant, processor, input_sha256, external_id)
SELECT md5(n::text)::uuid, now() - n * interval '1 ms', 0, 'default', 'echo', 'a', 'e' || n
FROM generate_series(1, %(rows)s) AS n;
INSERT INTO runs (job_id, run, mode, lane, state, attempt, execution, sequence, topic_id, partition, "offset", requested_at)
SELECT job_id, 0, 'live', 'live', 'COMPLETED', 1, 1, 0, %(topic)s, 0, 0, created_at FROM jobs;
INSERT INTO outcomes (job_id, run, status, attempt, output, topic_id, partition, "offset")
SELECT job_id, 0, 'COMPLETED', 1, '{"length": 1}', %(topic)s, 0, 0 FROM jobs;
INSERT INTO history (job_id, topic_id, partition, "offset", run, attempt, kind, at)
SELECT job_id, %(topic)s, 0, row_number() OVER (), 0, 1, 'request', created_at FROM jobs;
ANALYZE
"""


def fill_topic(settings: Settings) -> str:
    """Write a million requests, each with its job's id in header, key and value; return the id of one in the middle."""
    with Submitter(settings) as submitter:
        model = submitter.submit("echo", EchoInput("a small message")).job_id
    topic = settings.topics.requests("echo")
    consumer = kafka.reader(settings)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(settings.partitions)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    value = message.value() or b""
    producer = kafka.producer(settings, **{"linger.ms": 20, "queue.buffering.max.messages": 500_000})
    chosen = ""
    for n in range(RECORDS - 1):
        job = str(uuid.UUID(int=n + 1 | 7 << 76 | 8 << 60))
        chosen = job if n == RECORDS // 2 else chosen
        raw = job.encode()
        while True:
            try:
                producer.produce(
                    topic, value.replace(model.encode(), raw), raw, partition=n % 2, headers=[("sluice-job", raw)]
                )
                break
            except BufferError:
                producer.poll(0.2)
        if n % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0
    return chosen


def run(settings: Settings, *argv: str) -> tuple[float, list[Any], str]:
    begun = time.monotonic()
    done = subprocess.run([SLUICE, *argv], env=environment(settings), capture_output=True, text=True, timeout=300)
    assert done.returncode == ExitCode.OK, done.stderr
    return time.monotonic() - begun, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_a_job_among_a_million_records_is_found_by_a_scan_in_thirty_seconds(settings: Settings) -> None:
    job = fill_topic(settings)
    seconds, [record], end = run(settings, "tail", "echo", "--requests", "--job", job, "--jsonl")
    print(f"by its header: {seconds:.1f} s, {end.strip()}")
    assert record["value"]["header"]["job_id"] == job
    assert end.startswith("complete: 1 of 1,000,000 records")
    assert seconds < SCAN_S
    for where in (f"headers.\"sluice-job\" == '{job}'", f"value.header.job_id == '{job}'"):
        took, [found], end = run(settings, "tail", "echo", "--requests", "--where", where, "--jsonl")
        print(f"--where {where}: {took:.1f} s, {end.strip()}")
        assert found["offset"] == record["offset"]
    assert [each.headers["sluice-job"] for each in tail.last(settings, record["topic"], 1)] != [job]


def test_a_job_among_a_million_rows_is_found_in_a_tenth_of_a_second(settings: Settings) -> None:
    topic_id = uuid.uuid4()
    with psycopg.connect(settings.database, options="-c statement_timeout=0") as connection:
        for statement in _ROWS.split(";"):
            connection.execute(statement.encode(), {"topic": topic_id, "rows": RECORDS} if "%(" in statement else None)
    with wiring.job_store(settings) as store:
        assert store.counts() == {"COMPLETED": RECORDS}
        begun = time.monotonic()
        view = store.job(str(uuid.UUID(_md5(RECORDS // 2))))
        warm = time.monotonic() - begun
    begun = time.monotonic()
    with wiring.job_store(settings) as store:
        other = store.job(str(uuid.UUID(_md5(RECORDS // 3))))
    cold = time.monotonic() - begun
    assert view is not None
    assert other is not None
    assert len(view.history) == 1
    print(f"by Postgres: {warm * 1000:.1f} ms; with a new connection: {cold * 1000:.1f} ms")
    assert max(warm, cold) < LOOK_UP_S
    with TopCollector(settings) as collector:
        print("polls of sluice top:", [f"{collector.snapshot().took_ms:.0f} ms" for _ in range(4)])


def _md5(n: int) -> str:
    return hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest()
