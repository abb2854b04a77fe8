"""Options of a submit and filters of a list, typed; and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from sluice_client.errors import UsageError
from sluice_client.models import Upload


class _CommonOptions(TypedDict, total=False):
    #: Name of a callback configuration of the installation.
    callback_profile: str | None
    #: "live", or "bulk" for work that must not delay live jobs. Default: live; bulk for a batch.
    lane: str | None
    #: Time with zone, or a span from now: a job that has not ended by then ends as EXPIRED. Default: the installation's.
    deadline: datetime | timedelta | None
    #: Time with zone, or a span from now, before which the job does not start. Default: at once.
    not_before: datetime | timedelta | None
    #: Case that the job belongs to.
    case_id: str | None
    #: Version of the processor that must run it. Default: the current one.
    model_version: str | None
    #: Names and texts stored with the job.
    labels: Mapping[str, str] | None
    #: Attempts before a retryable failure is final. Default: 3.
    max_attempts: int | None
    #: Milliseconds after which the job is asked to stop. Default: the processor's.
    soft_limit_ms: int | None
    #: Milliseconds after which its process is killed. Default: the processor's.
    hard_limit_ms: int | None


class JobOptions(_CommonOptions, total=False):
    """Options of a job. None counts as not given."""

    #: URL that receives the outcome. Default: no callback.
    callback_url: str | None
    #: Your own id of the job; `jobs(external_id=…)` finds it.
    external_id: str | None
    #: Upload that the job works on.
    upload_id: str | None
    #: Jobs with the same key run in order, if the processor says so.
    order_key: str | None


class BatchOptions(_CommonOptions, total=False):
    """Options of a batch, of which most hold for each of its jobs. None counts as not given."""

    #: URL that receives the end of the batch. Default: no callback.
    callback_url: str | None
    #: URL that receives the outcome of each job. Default: no callback.
    job_callback_url: str | None


class JobFilter(TypedDict, total=False):
    """Filters of `jobs`; only jobs that match all of them are listed."""

    state: str | None
    processor: str | None
    case_id: str | None
    batch_id: str | None
    external_id: str | None
    upload_id: str | None


class EventFilter(TypedDict, total=False):
    """Filters of `events` for many jobs."""

    processor: str | None
    batch_id: str | None
    case_id: str | None


def options_of(options: Mapping[str, Any], known: type[Any]) -> dict[str, Any]:
    """Return the options in JSON form, without those that are None. Raises UsageError for a name that no option has."""
    names = known.__annotations__.keys()
    if unknown := options.keys() - names:
        raise UsageError(f"Unknown option {sorted(unknown)[0]!r}.", f"Options: {', '.join(sorted(names))}.")
    return {name: _moment(name, value) for name, value in options.items() if value is not None}


def to_json(value: Any) -> bytes:
    """Encode a body as UTF-8 JSON. Raises UsageError for a value that JSON has no form for."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        # The text of the error may quote a value of the input.
        raise UsageError(f"The input can't be written as JSON ({type(error).__name__}).") from error


def _moment(name: str, value: Any) -> Any:
    if isinstance(value, timedelta):
        value = datetime.now(UTC) + value
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise UsageError(f"{name} has no time zone.", "Use datetime.now(timezone.utc), or a timedelta from now.")
    return value.astimezone(UTC).isoformat()


def _plain(value: Any) -> Any:
    if isinstance(value, Upload):
        return asdict(value.claim)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)
