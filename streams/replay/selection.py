"""Which jobs an operator means: the conditions of `sluice replay` and of `POST /v1/replays`, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from connectors.replay_store import ReplayFilter
from schemas.errors import UsageError
from schemas.ids import is_job_id

#: Without a state: what failed, unless the selection names its jobs.
DEFAULT_STATES = ("FAILED",)
#: Of a shadow run.
SHADOW_STATES = ("COMPLETED",)


def checked_filter(wanted: ReplayFilter, *, shadow: bool = False) -> ReplayFilter:
    """Return the conditions with their default state. Raises UsageError if there is none, or for an id that is none, or for a
    shadow run without a processor: a version is one of a processor's."""
    if shadow and wanted.processor is None:
        raise UsageError("Of which processor is the version?", next_step="Name it with --processor.")
    if all(getattr(wanted, field.name) is None for field in fields(wanted)):
        raise UsageError(
            "Which jobs are to be replayed?",
            next_step="Give ids, or --processor, --status, --error, --since or another condition; --dry-run counts first.",
        )
    states = SHADOW_STATES if shadow else DEFAULT_STATES
    wrong = [one for one in wanted.job_ids or () if not is_job_id(one)]
    if wrong:
        raise UsageError(f"{wrong[0][:60]!r} is no job id.", next_step="A job id is a UUID in lower case.")
    return wanted if wanted.states or wanted.job_ids is not None else replace(wanted, states=states)


def described(wanted: ReplayFilter) -> dict[str, Any]:
    """Return what the replay's row says of its selection. A case is hashed, because its id may name a patient."""
    given = {field.name: getattr(wanted, field.name) for field in fields(wanted)}
    return {name: _described(name, value) for name, value in given.items() if value is not None}


def _described(name: str, value: Any) -> Any:
    if name == "case_id":
        return f"sha256:{sha256(value.encode()).hexdigest()[:12]}"
    if name == "job_ids" and len(value) > 1:
        return {"count": len(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return list(value) if isinstance(value, tuple | list) else value


def ids_in(lines: Iterable[str]) -> list[str]:
    """Return the job ids of a file, one a line; empty lines and those that begin with # are skipped."""
    found = (line.strip() for line in lines)
    return list(dict.fromkeys(line for line in found if line and not line.startswith("#")))
