"""The standard events: the body of a callback that has no profile, and what a profile's body is made from. Always valid JSON.

{"type": "job.completed", "timestamp": "2026-01-01T00:00:00+00:00", "data": {"job_id": …, "status": "COMPLETED", …}}
{"type": "job.progress", "timestamp": …, "data": {"job_id": …, "status": "PROCESSING", "stage": …, "percent": 40.0, …}}
{"type": "batch.completed", "timestamp": …, "data": {"batch_id": …, "total": 3, "counts": {"COMPLETED": 3}, …}}
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from schemas.errors import InvalidInput
from schemas.plain import REPLACEMENT, json_form

#: Fields of `data`, in this order; null where the row has no value.
FIELDS = (
    "job_id",
    "run",
    "attempt",
    "processor",
    "status",
    "tenant",
    "external_id",
    "case_id",
    "upload_id",
    "batch_id",
    "model_version",
    "output",
    "error",
    "output_refs",
)

#: Fields of `data` while a job runs. Events of a run are in the order of attempt, execution and sequence.
PROGRESS_FIELDS = (
    *FIELDS[:10],
    "execution",
    "sequence",
    "stage",
    "percent",
    "message",
)


def standard_event(row: Mapping[str, Any]) -> bytes:
    """Return the event of one outcome. `row` needs `job_id` and `status`; `decided_at` becomes the timestamp; the error is the
    mapping `error`, or `error_code` and `error_message`. Raises InvalidInput for values that JSON can't represent."""
    data = {field: row.get(field) for field in FIELDS}
    data["error"] = _error(row)
    data["output_refs"] = row.get("output_refs") or []
    event = {"type": f"job.{str(row['status']).lower()}", "timestamp": _timestamp(row.get("decided_at")), "data": data}
    return to_json(event)


def progress_event(row: Mapping[str, Any]) -> bytes:
    """Return the event of a running job; `updated_at` becomes the timestamp. Raises InvalidInput."""
    data = {field: row.get(field) for field in PROGRESS_FIELDS} | {"status": "PROCESSING"}
    return to_json({"type": "job.progress", "timestamp": _timestamp(row.get("updated_at")), "data": data})


def batch_event(data: Mapping[str, Any], at: object) -> bytes:
    """Return the event of a batch whose jobs have all ended. Raises InvalidInput."""
    return to_json({"type": "batch.completed", "timestamp": _timestamp(at), "data": data})


def to_json(value: object) -> bytes:
    """Encode as compact UTF-8 JSON. NaN and infinities become null, because JSON has no form for them; NULs become U+FFFD,
    because jsonb rejects them, here as in the backend that stores what it receives. Raises InvalidInput."""
    encoded = _to_json(value)
    # A text that contains a literal backslash-u0000 also matches; the walk then finds nothing to replace.
    return _to_json(_without_nul(value)) if b"\\u0000" in encoded else encoded


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", REPLACEMENT)
    if isinstance(value, Mapping):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(item) for item in value]
    return _without_nul(_plain(value)) if dataclasses.is_dataclass(value) or isinstance(value, Enum) else value


def _to_json(value: object) -> bytes:
    with contextlib.suppress(orjson.JSONEncodeError):
        return orjson.dumps(value, _plain, _OPTIONS)
    # The standard library has a form for a lone surrogate, an integer beyond 64 bits, or a key that is a number.
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The callback body can't be written as JSON: {error}.") from error
    # A lone surrogate is not a character; a receiver would reject the whole body for it.
    return text.encode("utf-8", "replace")


def _encode(value: object) -> str:
    try:
        return _STRICT.encode(value)
    except ValueError:
        return _STRICT.encode(_finite(value))


def _error(row: Mapping[str, Any]) -> dict[str, Any] | None:
    error = row.get("error")
    if isinstance(error, Mapping):
        return {"code": error.get("code"), "message": error.get("message")}
    if row.get("error_code") is None:
        return None
    return {"code": row["error_code"], "message": row.get("error_message")}


def _timestamp(moment: object) -> str:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).isoformat()
    return moment if isinstance(moment, str) else datetime.now(UTC).isoformat()


def _finite(value: Any) -> Any:
    """Copy to plain containers, without NaN. Only for the rare body that contains one, because it walks the whole value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_finite(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return _finite(_plain(value)) if dataclasses.is_dataclass(value) else value


def _plain(value: Any) -> Any:
    """Convert a value that `json` can't encode."""
    formed = json_form(value)
    if formed is not value:
        return formed
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


#: Of dates and times, dataclasses and enums, `_plain` decides the form, as for the standard library.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME
_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
