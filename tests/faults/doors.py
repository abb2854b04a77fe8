"""The doors: our client, the command line, a foreign producer, and rows of `payloads`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from confluent_kafka import Message, Producer

from schemas.records import EchoInput
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.faults.assignments import SIMPLE, WEIGHTS, Assignment
from tests.harness.checker.avro import AvroFiles
from tests.harness.services import SLUICE, environment

#: Seconds that a door waits for an answer.
PATIENCE_S = 12.0
_PROXY_FREE = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ClientDoor:
    """`streams.client.Submitter`, as a backend in Python uses it."""

    name = "client"
    kinds = tuple(WEIGHTS)
    twice = 0.0
    lasting = True

    def __init__(self, settings: Settings) -> None:
        self._submitter = Submitter(settings, timeout_s=PATIENCE_S)

    def submit(self, jobs: Sequence[Assignment]) -> list[str | None]:
        ids: list[str | None] = []
        for job in jobs:
            options: Any = {**job.options, "external_id": job.token}
            for _ in range(job.copies):
                id_ = self._submitter.submit_nowait(job.processor, EchoInput(**job.input), **options)
            ids.append(id_)
        self._submitter.flush()
        return ids

    def close(self) -> None:
        """Nothing: a client that failed is thrown away without a flush."""


class CommandLineDoor:
    """`sluice submit`, a process for each job."""

    name = "cli"
    kinds = SIMPLE
    twice = 0.0
    lasting = True

    def __init__(self, settings: Settings) -> None:
        self._environment = environment(settings)

    def submit(self, jobs: Sequence[Assignment]) -> list[str | None]:
        return [self._one(job) for job in jobs]

    def _one(self, job: Assignment) -> str | None:
        options = ["--input", "-", "--external-id", job.token]
        if url := job.options.get("callback_url"):
            options += ["--callback-url", url]
        given = json.dumps(job.input)
        try:
            ended = subprocess.run(
                [SLUICE, "submit", job.processor, *options],
                input=given, env=self._environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None
        return ended.stdout.strip() if ended.returncode == 0 else None

    def close(self) -> None:
        """Nothing is kept open."""


class ForeignDoor:
    """A producer that knows the schema and nothing else: no Kafka headers, ids of its own, some records written twice."""

    name = "foreign"
    kinds = SIMPLE
    twice = 0.1
    lasting = True

    def __init__(self, settings: Settings) -> None:
        self._records = RequestRecords(settings)
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap,
                "delivery.timeout.ms": int(PATIENCE_S * 1000),
                "enable.idempotence": True,
                "log_level": 0,
            }
        )

    def submit(self, jobs: Sequence[Assignment]) -> list[str | None]:
        confirmed: dict[str, int] = {}
        ids: list[str | None] = []
        for job in jobs:
            job_id = str(uuid.uuid4())
            value = self._records.encode(job, job_id)

            def report(error: object, _: Message, job_id: str = job_id) -> None:
                confirmed[job_id] = confirmed.get(job_id, 0) + (error is None)

            for _ in range(job.copies):
                self._producer.produce(f"requests.{job.processor}", value, job_id, on_delivery=report)
            ids.append(job_id)
        self._producer.flush(PATIENCE_S + 2)
        return [job_id if job_id is not None and confirmed.get(job_id) else None for job_id in ids]

    def close(self) -> None:
        """Nothing to flush."""


class RowDoor:
    """A row of `payloads`, as a gateway writes it; the timekeeper publishes it."""

    name = "rows"
    kinds = SIMPLE
    twice = 0.0
    lasting = False

    def __init__(self, settings: Settings) -> None:
        self._records = RequestRecords(settings)
        self._database = psycopg.connect(settings.database, autocommit=True, connect_timeout=5)

    def submit(self, jobs: Sequence[Assignment]) -> list[str | None]:
        ids: list[str | None] = []
        for job in jobs:
            job_id = str(uuid.uuid4())
            fields = [["sluice-job", job_id], ["sluice-processor", job.processor]]
            self._database.execute(
                "INSERT INTO payloads (job_id, run, processor, lane, key, value, headers, check_at)"
                " VALUES (%s, 0, %s, 'live', %s, %s, %s, now())",
                (job_id, job.processor, job_id.encode(), self._records.encode(job, job_id), json.dumps(fields)),
            )
            ids.append(job_id)
        return ids

    def close(self) -> None:
        self._database.close()


class RequestRecords:
    """Encodes requests by the `.avsc` files and the ids in the registry."""

    def __init__(self, settings: Settings) -> None:
        self._registry = settings.registry_url
        self._avro = AvroFiles()
        self._ids: dict[str, int] = {}

    def encode(self, job: Assignment, job_id: str) -> bytes:
        name = job.processor
        if name not in self._ids:
            url = f"{self._registry}/subjects/requests.{name}-value/versions/latest"
            with _PROXY_FREE.open(url, timeout=PATIENCE_S) as answer:
                self._ids[name] = json.load(answer)["id"]
        now = datetime.now(UTC)
        header = {
            "job_id": job_id,
            "processor": name,
            "created_at": now,
            "input_sha256": hashlib.sha256(json.dumps(job.input).encode()).hexdigest(),
            "external_id": job.token,
            "custody": "lease" if name == "errand" else "offset",
            **job.options,
        }
        input_ = {"delay_ms": 0, "fail": None, **job.input}
        return self._avro.encode(f"{name.capitalize()}Request", {"header": header, "input": input_}, self._ids[name])
