"""Accepts uploaded files: a committed row, then an event in the log (docs/adr/0025)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, Message

from connectors.upload_store import UploadStore
from schemas.avsc import self_contained
from schemas.codec import Codec, TypedCodec
from schemas.errors import SluiceError
from schemas.ids import new_id
from schemas.records import Claim, Upload
from streams import logs, wiring
from streams.client.job_options import check_options
from streams.log import kafka
from streams.log.confirmed_producer import ConfirmedProducer
from streams.log.port import LogProducer
from streams.settings import Settings

log = logs.get("uploads")

TIMEOUT_S = 30.0
LONGEST_NAME = 255
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class UploadPublisher:
    """Publishes Upload events. Connects at the first event; for one thread."""

    def __init__(self, settings: Settings, producer: LogProducer | None = None) -> None:
        self._settings = settings
        self._producer = producer
        self._codec: TypedCodec[Upload] | None = None

    def publish(self, uploads: Iterable[Upload]) -> list[str]:
        """Publish the events and return the ids of those that Kafka has confirmed. Raises Unreachable, UnknownSchema."""
        codec, topic = self._opened(), self._settings.topics.uploads
        confirmed: list[str] = []
        records = ConfirmedProducer(
            self._client(), "upload", TIMEOUT_S + 1.0
        )  # a report of failure takes a moment more
        for upload in uploads:
            records.produce(
                topic,
                codec.encode(upload),
                upload.upload_id.encode(),
                on_confirmed=partial(_note, confirmed, upload.upload_id),
                on_failed=_failed,
            )
        records.flush()
        return confirmed

    def _client(self) -> LogProducer:
        if self._producer is None:
            self._producer = kafka.producer(self._settings, **{"delivery.timeout.ms": int(TIMEOUT_S * 1000)})
        return self._producer

    def _opened(self) -> TypedCodec[Upload]:
        if self._codec is None:
            with wiring.open_registry(self._settings) as registry:
                self._codec = upload_codec(Codec(registry), self._settings)
        return self._codec


def upload_codec(codec: Codec, settings: Settings) -> TypedCodec[Upload]:
    """Return the codec of the topic `uploads`. Raises Unreachable, UnknownSchema."""
    subject = f"{settings.topics.uploads}-value"
    return codec.typed(Upload, subject, self_contained("Upload"), register=settings.auto_register)


def _note(confirmed: list[str], upload_id: str, _: Message) -> None:
    confirmed.append(upload_id)


def _failed(error: KafkaError) -> None:
    log.warning("upload_not_published", code=error.name())


def accept(settings: Settings, claim: Claim, **about: Any) -> Upload:
    """Accept an upload of `claim` and publish its event; `about`: further fields of `Upload`.

    If Kafka does not answer now, the upload is accepted all the same: the timekeeper publishes the event. Raises Unreachable if
    the database does not answer.
    """
    upload = new_upload(claim, **about)
    with wiring.upload_store(settings) as store:
        store.add(upload)
        publish(UploadPublisher(settings), [upload], store)
    return upload


def publish(publisher: UploadPublisher, uploads: Iterable[Upload], store: UploadStore) -> None:
    """Publish events of accepted uploads. One that fails is left to the timekeeper."""
    try:
        store.mark_published(publisher.publish(uploads))
    except SluiceError as error:
        log.warning("upload_not_published", code=error.code)


def new_upload(claim: Claim, *, upload_id: str | None = None, filename: str = "", **about: Any) -> Upload:
    """Return an upload that happens now, with a safe file name."""
    made = {"source": "sluice/upload", **about}
    return Upload(upload_id or new_id(), claim, datetime.now(UTC), filename=safe_filename(filename), **made)


def upload_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels of an upload, which have the limits of a job's. Raises UsageError."""
    check_options({"labels": labels})
    return dict(labels)


def safe_filename(name: str) -> str:
    """Return the last part of a path, without control characters and bidirectional marks; never `.` or `..`, or a path."""
    last = _UNPRINTABLE.sub("", name.replace("\\", "/")).rpartition("/")[2].strip()
    last = re.sub(r'[<>:"|?*]', "_", last)
    return "" if last in (".", "..") else _shortened(last)


def _shortened(name: str) -> str:
    """Cut a name to what file systems take, keeping its suffix."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    stem, dot, suffix = name.rpartition(".")
    suffix = dot + suffix if stem and len(suffix.encode()) <= 16 else ""
    kept = (stem if suffix else name).encode()[: LONGEST_NAME - len(suffix.encode())]
    return kept.decode("utf-8", "ignore") + suffix
