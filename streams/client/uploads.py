"""Tells the log of a file that was handed in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaError

from schemas.avsc import self_contained
from schemas.codec import Codec
from schemas.errors import SluiceError
from schemas.ids import new_id
from schemas.records import Claim, Upload
from streams import wiring
from streams.log import kafka
from streams.settings import Settings

TIMEOUT_S = 30.0


def announce(settings: Settings, claim: Claim, **about: Any) -> Upload:
    """Publish an Upload of `claim` and wait for its delivery; `about` are further fields of `Upload`.

    Raises Unreachable, UnknownSchema.
    """
    event = Upload(upload_id=new_id(), claim=claim, created_at=datetime.now(UTC), source="sluice/upload", **about)
    topic = settings.topics.uploads
    with wiring.open_registry(settings) as registry:
        codec = Codec(registry).typed(
            Upload, f"{topic}-value", self_contained("Upload"), register=settings.auto_register
        )
    _publish(settings, topic, event.upload_id.encode(), codec.encode(event))
    return event


def _publish(settings: Settings, topic: str, key: bytes, value: bytes) -> None:
    errors: list[KafkaError | None] = []
    producer = kafka.producer(settings, **{"delivery.timeout.ms": int(TIMEOUT_S * 1000)})
    producer.produce(topic, value, key, on_delivery=lambda error, message: errors.append(error))
    producer.flush(TIMEOUT_S + 1.0)
    if not errors:
        raise SluiceError(f"Kafka sent no delivery report within {TIMEOUT_S:.0f} s.")
    if errors[0] is not None:
        raise kafka.translate(errors[0], "publishing the upload")
