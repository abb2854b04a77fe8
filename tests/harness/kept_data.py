"""A record, a schema and a row that a stack must keep through restarts."""

from __future__ import annotations

import json
import urllib.request

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

TOPIC, SUBJECT = "kept", "kept-value"
SCHEMA = json.dumps({"type": "record", "name": "Kept", "fields": [{"name": "what", "type": "string"}]})


def produce(address: str) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(20)
    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    producer.produce(TOPIC, b"still here")
    assert producer.flush(20) == 0


def consume(address: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    try:
        message = consumer.poll(20)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def register(address: str) -> int:
    body = json.dumps({"schema": SCHEMA}).encode()
    request = urllib.request.Request(
        f"{address}/subjects/{SUBJECT}/versions", body, {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(json.load(answer)["id"])


def schema_of(address: str, schema_id: int) -> object:
    with urllib.request.urlopen(f"{address}/schemas/ids/{schema_id}", timeout=20) as answer:
        return json.loads(json.load(answer)["schema"])


def rows(dsn: str) -> list[tuple[str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT what FROM kept").fetchall()
