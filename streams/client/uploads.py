"""Announces an uploaded file in the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.avsc import self_contained
from schemas.codec import Codec
from schemas.ids import new_id
from schemas.records import Claim, Upload
from streams import wiring
from streams.log import kafka
from streams.log.confirmed_producer import ConfirmedProducer
from streams.settings import Settings

TIMEOUT_S = 30.0


def announce(settings: Settings, claim: Claim, **about: Any) -> Upload:
    """Publish an Upload of `claim` and wait until the broker has confirmed it; `about`: further fields of `Upload`.

    Raises Unreachable, UnknownSchema.
    """
    event = Upload(upload_id=new_id(), claim=claim, created_at=datetime.now(UTC), source="sluice/upload", **about)
    topic = settings.topics.uploads
    with wiring.open_registry(settings) as registry:
        codec = Codec(registry).typed(
            Upload, f"{topic}-value", self_contained("Upload"), register=settings.auto_register
        )
    client = kafka.producer(settings, **{"delivery.timeout.ms": int(TIMEOUT_S * 1000)})
    upload = ConfirmedProducer(client, "upload", TIMEOUT_S + 1.0)  # a report of failure takes a moment more
    upload.produce(topic, codec.encode(event), event.upload_id.encode())
    upload.flush()
    return event
