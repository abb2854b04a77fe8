"""A record as operators see it. Decoding never fails: bytes that can't be decoded stay bytes, with the reason."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from schemas.codec import FRAME, MAGIC, Codec
from schemas.errors import SluiceError, UndecodableRecord, Unreachable
from schemas.plain import json_form

Headers: TypeAlias = list[tuple[str, bytes | str | None]]

#: Seconds for which a schema is not asked for again after the registry did not answer: else each record would wait for it.
REGISTRY_REST_S = 10.0


@dataclass(frozen=True, slots=True)
class LogRecord:
    """`value`: the decoded record; None for a tombstone; the raw bytes if it can't be decoded, then `undecodable` says why.

    `format`: avro, json (a record without Avro's frame that is JSON), tombstone or bytes. `size`: bytes of the value.
    """

    topic: str
    partition: int
    offset: int
    at: datetime | None
    key: str | None
    headers: Mapping[str, str]
    value: Any
    undecodable: str | None = None
    format: str = "avro"
    size: int = 0


class RecordDecoder:
    """Decodes messages of any topic; for one thread."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._resting: dict[bytes, tuple[float, str]] = {}  # by frame: until when, and why

    def record(self, message: Message) -> LogRecord:
        """Return a message as a record. Never raises."""
        raw = message.value()
        value, form, reason = self.value(raw)
        return LogRecord(
            topic=str(message.topic()),
            partition=int(message.partition() or 0),
            offset=int(message.offset() or 0),
            at=time_of(message),
            key=text_of(message.key()),
            headers={name: text_of(content) or "" for name, content in headers_of(message)},
            value=value,
            undecodable=reason,
            format=form,
            size=len(raw or b""),
        )

    def value(self, raw: bytes | None) -> tuple[Any, str, str | None]:
        """Return a value decoded, its format, and why it is not decoded. Never raises."""
        if raw is None:
            return None, "tombstone", None
        if raw[:1] in (b"{", b"["):
            try:
                return json.loads(raw), "json", None
            except (ValueError, RecursionError):
                pass  # the codec names the reason
        frame = raw[: FRAME.size] if raw[:1] == bytes([MAGIC]) else b""
        until, reason = self._resting.get(frame, (0.0, ""))
        if time.monotonic() < until:
            return raw, "bytes", reason
        try:
            return self._codec.decode(raw), "avro", None
        except UndecodableRecord as error:
            return raw, "bytes", error.message
        except Unreachable as error:
            self._resting[frame] = time.monotonic() + REGISTRY_REST_S, error.message
            return raw, "bytes", error.message
        except SluiceError as error:
            return raw, "bytes", error.message
        except Exception as error:  # noqa: BLE001 - one record must not end the page
            return raw, "bytes", f"Decoding failed: {type(error).__name__}."


def headers_of(message: Message) -> Headers:
    return cast("Headers", message.headers() or [])


def time_of(message: Message) -> datetime | None:
    kind, millis = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE:
        return None
    try:
        return datetime.fromtimestamp(millis / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a producer may write any number
        return None


def text_of(content: bytes | str | None) -> str | None:
    return content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content


def record_json(record: LogRecord) -> dict[str, Any]:
    """Return a record as JSON data. Bytes that can't be decoded are in hex."""
    undecoded = record.format == "bytes"
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "at": None if record.at is None else record.at.isoformat(),
        "key": record.key,
        "headers": dict(record.headers),
        "format": record.format,
        "size": record.size,
        "value": record.value.hex() if undecoded else json_value(record.value),
        "undecodable": record.undecodable,
    }


def json_value(value: Any) -> Any:
    """Return a decoded value as JSON data. Numbers that JSON does not have become text: NaN, Infinity."""
    if isinstance(value, dict):
        return {str(name): json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return json_form(value)
