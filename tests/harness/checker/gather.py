"""Reads what a run left behind: the log from offset 0, Postgres, and the journals of driver, receiver and nemesis."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition

from tests.harness.checker.avro import AvroFiles
from tests.harness.checker.evidence import (
    DeliveryRow,
    Evidence,
    FaultSpan,
    OutcomeRow,
    Received,
    RequestRecord,
    ResultRecord,
    RunRow,
    Submission,
)

_STATES = {"succeeded": "COMPLETED", "cancelled": "CANCELLED", "failed": "FAILED", "retry": "RETRYING"}
_READ_S = 20.0

OUTCOMES = """
SELECT o.job_id::text, o.run, o.status, o.output->>'message', o.error_code, t.name, o.partition, o."offset",
       extract(epoch FROM o.decided_at)::float8
FROM outcomes AS o LEFT JOIN topics AS t USING (topic_id)"""
RUNS = "SELECT job_id::text, run, state, attempt, execution, sequence FROM runs"
DELIVERIES = "SELECT delivery_id::text, job_id::text, run, kind, state, tries FROM deliveries"
HISTORY = 'SELECT t.name, h.partition, h."offset" FROM history AS h JOIN topics AS t USING (topic_id)'
READ = "SELECT t.name, s.partition, s.next_offset FROM sink_offsets AS s JOIN topics AS t USING (topic_id)"


@dataclass(frozen=True, slots=True)
class Sources:
    """Addresses past every proxy; the folder with `driver.jsonl`, `receiver.jsonl`, `nemesis.jsonl` and `observed.jsonl`."""

    bootstrap: str
    database: str
    folder: Path
    processors: Sequence[str]


def gather(sources: Sources) -> Evidence:
    with psycopg.connect(sources.database) as database:
        outcomes = tuple(OutcomeRow(*row) for row in database.execute(OUTCOMES))
        runs = tuple(RunRow(*row) for row in database.execute(RUNS))
        deliveries = tuple(DeliveryRow(*row) for row in database.execute(DELIVERIES))
        history = frozenset((name, partition, offset) for name, partition, offset in database.execute(HISTORY))
        read = {(name, partition): offset for name, partition, offset in database.execute(READ)}
    avro, reader = AvroFiles(), LogReader(sources.bootstrap)
    requests: list[RequestRecord] = []
    results: list[ResultRecord] = []
    published: list[ResultRecord] = []
    for name in sources.processors:
        for topic in (f"requests.{name}", f"requests.{name}.bulk"):
            requests += [request_record(avro, name, message) for message in reader.read(topic)]
        results += [result_record(avro, name, message) for message in reader.read(f"results.{name}")]
        published += [result_record(avro, name, message) for message in reader.read(f"outcomes.{name}")]
    ids = {request.token: request.job_id for request in requests if request.token is not None}
    return Evidence(
        submissions=tuple(submissions(lines(sources.folder / "driver.jsonl"), ids)),
        requests=tuple(requests),
        results=tuple(results),
        published=tuple(published),
        outcomes=outcomes,
        runs=runs,
        observed=tuple(RunRow(*row) for row in lines(sources.folder / "observed.jsonl")),
        deliveries=deliveries,
        received=tuple(_received(entry) for entry in lines(sources.folder / "receiver.jsonl")),
        faults=tuple(_fault(entry) for entry in lines(sources.folder / "nemesis.jsonl")),
        history=history,
        read=read,
    )


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def submissions(entries: Iterable[dict[str, Any]], ids: dict[str, str]) -> Iterator[Submission]:
    """Fold the driver's journal: each job is invoked once, then comes "ok", "fail" or "info". `ids`: job ids by token, for
    jobs whose acceptance is unknown and whose request is in the log."""
    invoked: dict[str, dict[str, Any]] = {}
    ends: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        if entry["type"] == "invoke":
            invoked[entry["token"]] = entry
        else:
            ends.setdefault(entry["token"], []).append(entry)
    for token, entry in invoked.items():
        accepted = [end for end in ends.get(token, []) if end["type"] == "ok"]
        status = "ok" if accepted else "info"
        job_id = accepted[0]["job_id"] if accepted else entry.get("job_id") or ids.get(token)
        yield Submission(
            token,
            entry["at"],
            status,
            job_id,
            entry["kind"],
            entry["door"],
            tuple(entry["states"]),
            entry["message"],
            entry["error"],
            entry["callback"],
            entry["order_key"],
            entry["copies"],
            accepted[0]["at"] if accepted else None,
        )


class LogReader:
    """Reads topics whole, past the consumer groups."""

    def __init__(self, bootstrap: str) -> None:
        self._config = {
            "bootstrap.servers": bootstrap,
            "group.id": "checker",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
        }

    def read(self, topic: str) -> list[Message]:
        consumer = Consumer(self._config)
        try:
            numbers = consumer.list_topics(topic, timeout=_READ_S).topics[topic].partitions
            places = [TopicPartition(topic, number, 0) for number in numbers]
            ends = {place.partition: consumer.get_watermark_offsets(place, _READ_S)[1] for place in places}
            consumer.assign([place for place in places if ends[place.partition] > 0])
            return self._until(consumer, {number: end for number, end in ends.items() if end > 0})
        finally:
            consumer.close()

    def _until(self, consumer: Consumer, ends: dict[int, int]) -> list[Message]:
        found: list[Message] = []
        patience = time.monotonic() + _READ_S
        while ends:
            batch = consumer.consume(1000, 0.1)
            assert batch or time.monotonic() < patience, (
                f"no more records came within {_READ_S:g} s; wanted up to {ends}"
            )
            for message in batch:
                patience = time.monotonic() + _READ_S
                assert message.error() is None, message.error()
                found.append(message)
                partition, offset = _place(message)
                if offset + 1 >= ends.get(partition, 0):
                    ends.pop(partition, None)
        return found


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def _at(message: Message) -> float:
    return message.timestamp()[1] / 1000


def request_record(avro: AvroFiles, processor: str, message: Message) -> RequestRecord:
    header = avro.decode(f"{processor.capitalize()}Request", message.value() or b"")["header"]
    return RequestRecord(
        str(message.topic()),
        *_place(message),
        header["job_id"],
        header["run"],
        header["attempt"],
        header["external_id"],
        _at(message),
    )


def result_record(avro: AvroFiles, processor: str, message: Message) -> ResultRecord:
    plain = avro.decode(f"{processor.capitalize()}Result", message.value() or b"")
    header, info, output = plain["header"], plain["result"], plain["output"]
    error = info["error"]["code"] if info["error"] is not None else None
    state = "EXPIRED" if error == "DEADLINE_EXCEEDED" else _STATES[info["disposition"]]
    return ResultRecord(
        str(message.topic()),
        *_place(message),
        header["job_id"],
        header["run"],
        header["attempt"],
        info["execution"],
        info["disposition"],
        state,
        None if output is None else output["message"],
        error,
        info["timings"]["started_at"].timestamp(),
        info["timings"]["finished_at"].timestamp(),
        _at(message),
    )


def _received(entry: dict[str, Any]) -> Received:
    data = entry["event"]["data"]
    output = data["output"]
    return Received(
        entry["at"],
        entry["token"],
        entry["delivery_id"],
        data["job_id"],
        data["run"],
        data["status"],
        None if output is None else output["message"],
        entry["accepted"],
        entry["status"],
    )


def _fault(entry: dict[str, Any]) -> FaultSpan:
    return FaultSpan(entry["begin"], entry["end"], entry["name"], frozenset(entry["hits"]))
