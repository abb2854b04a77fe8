"""Judges a run by nothing but the raw records of the log, the rows of the database and the posts that backends received.

Shares no code with the engine. Each finding begins with its kind: lost, doubled, divergent, stuck, phantom, multiplied, or of
deliveries missing, doubled, after-terminal.
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import fastavro

from connectors.memory import MemoryDatabase
from streams.log.memory import MemoryLog
from tests.injection.scenario import GARBAGE, Expected

DISPOSITIONS = {"COMPLETED": "succeeded", "FAILED": "failed", "CANCELLED": "cancelled", "EXPIRED": "failed"}
#: Records of one attempt, or posts of one delivery, beyond which a fault has multiplied them.
MOST = 8

Post = tuple[str, str, bytes]


class Checker:
    """`schema_by_id` returns a schema's JSON text. `expected`: the right end of each job."""

    def __init__(
        self,
        log: MemoryLog,
        database: MemoryDatabase,
        posts: list[Post],
        schema_by_id: Callable[[int], str],
        expected: dict[str, Expected],
    ) -> None:
        self._log = log
        self._db = database
        self._posts = posts
        self._schema_by_id = schema_by_id
        self._expected = expected
        self._schemas: dict[int, Any] = {}

    def may_fail(self, processor: str, message: str) -> None:
        """Take the failure of these jobs as a right end, too: an unforeseen exception within a job is its own error."""
        for (job_id, _), row in self._db.outcomes.items():
            name = str(UUID(bytes=job_id))
            end = self._expected.get(name)
            if end is not None and self._db.jobs[job_id].processor == processor and end.message == message:
                failed = end._replace(state="FAILED", message=None)
                self._expected[name] = failed if row.status == "FAILED" else end

    def findings(self) -> list[str]:
        return [*self._outcome_rows(), *self._outcome_records(), *self._deliveries(), *self._open(), *self._records()]

    def doubled_posts(self) -> int:
        """Return how many posts repeat an earlier one: the promise allows it after a fault."""
        return len(self._posts) - len({post[0] for post in self._posts})

    def doubled_outcomes(self) -> int:
        """Return how many outcome records repeat an earlier one, byte for byte."""
        return sum(len(values) - 1 for values in self._outcomes().values())

    # ── the stored outcomes ──

    def _outcome_rows(self) -> Iterator[str]:
        rows = {(str(UUID(bytes=job_id)), run): row for (job_id, run), row in self._db.outcomes.items()}
        for job_id, end in self._expected.items():
            row = rows.pop((job_id, 0), None)
            if row is None:
                yield f"{'stuck' if UUID(job_id).bytes in self._db.jobs else 'lost'}: {self._name(job_id)} has no outcome"
                continue
            if row.status != end.state:
                yield f"divergent: {self._name(job_id)} ended as {row.status}, not {end.state}"
            run = self._db.runs.get((row.job_id, 0))
            if run is None or run.state != row.status:
                yield f"divergent: the run of {self._name(job_id)} is {None if run is None else run.state}"
            if end.message is not None and json.loads(row.output or b"null") != self._output(end):
                yield f"divergent: {self._name(job_id)} has the output {row.output!r}"
        yield from (f"phantom: an outcome of {job_id}:{run}" for job_id, run in rows)

    def _outcome_records(self) -> Iterator[str]:
        published = self._outcomes()
        for job_id, end in self._expected.items():
            values = published.pop(f"{job_id}:0", [])
            if not values:
                yield f"lost: {self._name(job_id)} has no record in its outcomes topic"
                continue
            if len(set(values)) > 1:
                yield f"doubled: {self._name(job_id)} has {len(set(values))} different records in its outcomes topic"
            if len(values) > MOST:
                yield f"multiplied: {self._name(job_id)} has {len(values)} records in its outcomes topic"
            yield from self._outcome_value(job_id, end, values[-1])
        yield from (f"phantom: an outcome record {key}" for key in published)

    def _outcome_value(self, job_id: str, end: Expected, value: bytes) -> Iterator[str]:
        plain = self._decode(value)
        if plain["header"]["job_id"] != job_id or plain["result"]["disposition"] != DISPOSITIONS[end.state]:
            yield f"divergent: the outcome record of {self._name(job_id)} is {plain['result']['disposition']}"
        if end.message is not None and plain["output"] != self._output(end):
            yield f"divergent: the outcome record of {self._name(job_id)} has the output {plain['output']}"
        row = self._db.outcomes.get((UUID(job_id).bytes, 0))
        topic = None if row is None else self._db.topics.get(row.position.topic_id, "")
        if row is not None and topic and topic.startswith("results."):
            partition = self._log.topics[topic].partitions[row.position.partition]
            won = partition.records[row.position.offset].value
            if won != value:
                yield f"divergent: the outcome record of {self._name(job_id)} is not the result that won"

    def _outcomes(self) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = defaultdict(list)
        for name in self._log.topics:
            if name.startswith("outcomes."):
                for message in self._log.records(name):
                    found[(message.key() or b"").decode()].append(message.value() or b"")
        return found

    # ── deliveries ──

    def _deliveries(self) -> Iterator[str]:
        rows: dict[str, list[Any]] = defaultdict(list)
        for row in self._db.deliveries.values():
            rows[str(UUID(bytes=row.job_id))].append(row)
        posts = Counter(post[0] for post in self._posts)
        for job_id, end in self._expected.items():
            found = rows.pop(job_id, [])
            if len(found) != end.callback:
                yield f"delivery {'doubled' if found else 'missing'}: {self._name(job_id)} has {len(found)} rows"
            for row in found:
                if row.state != "delivered" or row.notifier is not None:
                    yield f"delivery stuck: {self._name(job_id)} is {row.state}"
                if (count := posts.pop(str(UUID(bytes=row.delivery_id)), 0)) == 0:
                    yield f"delivery missing: {self._name(job_id)} was never posted"
                elif count > MOST:
                    yield f"delivery multiplied: {self._name(job_id)} was posted {count} times"
        yield from (f"delivery phantom: posted under {delivery_id}" for delivery_id in posts)
        for _, _, body in self._posts:
            data = json.loads(body)["data"]
            if data["job_id"] in self._expected and data["status"] != self._expected[data["job_id"]].state:
                yield f"delivery divergent: {self._name(data['job_id'])} was posted as {data['status']}"

    # ── work that is left ──

    def _open(self) -> Iterator[str]:
        for (group, topic_id, number), row in self._db.offsets.items():
            topic = self._db.topics[topic_id]
            end = self._log.topics[topic].partitions[number].end
            if row.next_offset != end:
                yield f"stuck: {group} has stored {row.next_offset} of {end} records of {topic}-{number}"
            if row.published != end:
                yield f"stuck: {group} has published {row.published} of {end} records of {topic}-{number}"
        for group, topics in (
            ("workers.echo", ("requests.echo", "requests.echo.bulk")),
            ("sink-control", ("control",)),
        ):
            if lag := self._log.lag(group, topics):
                yield f"stuck: {group} has {lag} records not committed"
        yield from (f"stuck: a lease is {lease.state}" for lease in self._db.leases.values())
        yield from ("stuck: a cancel is open" for cancel in self._db.cancels.values() if cancel.ended_at is None)

    def _records(self) -> Iterator[str]:
        origins = Counter(self._origin(dict(message.headers() or ())) for message in self._log.records("dead-letters"))
        for topic in GARBAGE:
            count = origins.pop(topic, 0)
            if not 0 < count <= MOST:
                yield f"{'multiplied' if count else 'lost'}: the undecodable record of {topic} is {count} dead letters"
        yield from (f"phantom: a dead letter of {origin}" for origin in origins)
        for topic in self._log.topics:
            if topic.startswith(("requests.", "results.")):
                keys = Counter(message.key() for message in self._log.records(topic))
                yield from (f"multiplied: {topic} has {n} records of {key!r}" for key, n in keys.items() if n > MOST)

    # ── helpers ──

    def _origin(self, headers: dict[Any, Any]) -> str:
        return next((value.decode() for name, value in headers.items() if name.endswith("-topic")), "?")

    def _output(self, end: Expected) -> dict[str, Any]:
        assert end.message is not None
        return {"message": end.message, "length": len(end.message)}

    def _decode(self, value: bytes) -> Any:
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in self._schemas:
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(self._schema_by_id(schema_id)))
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[schema_id], None)

    def _name(self, job_id: str) -> str:
        end = self._expected[job_id]
        return f"job {job_id[:8]} ({end.state}, {end.message})"
