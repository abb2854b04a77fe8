"""A flow in which all is well, and ways to spoil its log and its rows, for tests of the audit."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from connectors.memory.tables import StoredDelivery
from streams.log.memory.topic import Partition, StoredRecord
from streams.testing.flow import Flow

URL = "http://backend.example/done"
REQUESTS, RESULTS, OUTCOMES = "requests.echo", "results.echo", "outcomes.echo"


class Settled:
    """Jobs that ended in every way, through killed workers. `job` completed and was called back; so did `other`."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        flow.kill_worker("published")
        self.job = flow.submit("echo", {"message": "one"}, callback_url=URL)
        self.other = flow.submit("echo", {"message": "two"}, callback_url=URL)
        flow.submit("echo", {"message": "three"})
        flow.submit("echo", {"message": "four", "fail": "INVALID_INPUT"}, callback_url=URL)
        flow.settle()
        flow.kill_worker("taken")
        flow.submit("echo", {"message": "five", "fail": "CONNECTION_ERROR"}, max_attempts=2)
        flow.submit("echo", {"message": "six"}, deadline=flow.now)
        flow.cancel(flow.submit("echo", {"message": "seven"}))
        flow.settle()
        flow.advance(300)
        flow.settle()

    @property
    def key(self) -> tuple[bytes, int]:
        return UUID(self.job).bytes, 0

    # ── the log ──

    def drop(self, topic: str) -> None:
        """Remove the job's records from a topic, as if they had been lost."""
        for partition in self._partitions(topic):
            partition.records = [record for record in partition.records if not _is_of(record, self.job)]

    def copy(self, topic: str, value_of: str | None = None) -> None:
        """Write the job's record to a topic once more, with the value of another job if one is named."""
        mine = self._first(topic, self.job)
        value = mine.value if value_of is None else self._first(topic, value_of).value
        headers: Any = mine.headers
        producer = self.flow.log.producer()
        producer.produce(topic, value, mine.key, headers=headers)
        producer.flush()

    def replace(self, topic: str, value_of: str) -> None:
        """Give the job's records of a topic the value of another job's."""
        value = self._first(topic, value_of).value
        for partition in self._partitions(topic):
            partition.records = [
                record._replace(value=value) if _is_of(record, self.job) else record for record in partition.records
            ]

    def _first(self, topic: str, job: str) -> StoredRecord:
        return next(each for part in self._partitions(topic) for each in part.records if _is_of(each, job))

    def _partitions(self, topic: str) -> list[Partition]:
        return self.flow.log.topics[topic].partitions

    # ── the store ──

    def forget(self, *tables: str) -> None:
        """Delete the job's rows of these tables."""
        for name in tables:
            rows: dict[Any, Any] = getattr(self.flow.database, name)
            kept = {key: row for key, row in rows.items() if row.job_id != self.key[0]}
            setattr(self.flow.database, name, kept)

    def set(self, table: str, **fields: Any) -> None:
        """Change fields of the job's row of a table."""
        row = getattr(self.flow.database, table)[self.key]
        for name, value in fields.items():
            setattr(row, name, value)

    @property
    def delivery(self) -> StoredDelivery:
        return next(row for row in self.flow.database.deliveries.values() if row.job_id == self.key[0])

    def forget_history_of(self, topic: str) -> None:
        db = self.flow.database
        ids = {topic_id for topic_id, name in db.topics.items() if name == topic}
        gone = [key for key, row in db.history.items() if key[0] == self.key[0] and row.position.topic_id in ids]
        for key in gone:
            del db.history[key]


def _is_of(record: StoredRecord, job: str) -> bool:
    headers = dict(record.headers or ())
    return job.encode() in (headers.get("sluice-job"), (record.key or b"").partition(b":")[0])
