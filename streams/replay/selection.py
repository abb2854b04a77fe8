"""Which jobs an operator means: the options of `sluice replay` and of `POST /v1/replays`, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from connectors.replay_store import ReplayFilter
from schemas.errors import UsageError
from schemas.ids import is_job_id

#: Without a status: what failed, unless the selection names its jobs.
DEFAULT_STATUSES = ("FAILED",)


@dataclass(frozen=True, slots=True)
class ReplaySelection:
    """Conditions on jobs, all of which must hold; None: any. `since` and `until`: when the job's current run ended."""

    processor: str | None = None
    statuses: Sequence[str] | None = None
    error_code: str | None = None
    fingerprint: str | None = None
    model_version: str | None = None
    case_id: str | None = None
    batch_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    job_ids: Sequence[str] | None = None

    def checked(self) -> ReplaySelection:
        """Return the selection. Raises UsageError if it names nothing, or an id that is none."""
        if all(getattr(self, field.name) is None for field in fields(self)):
            raise UsageError(
                "Which jobs are to be replayed?",
                next_step="Give ids, or --processor, --status, --error, --since or another condition; --dry-run counts first.",
            )
        wrong = [one for one in self.job_ids or () if not is_job_id(one)]
        if wrong:
            raise UsageError(f"{wrong[0][:60]!r} is no job id.", next_step="A job id is a UUID in lower case.")
        return self

    def wanted(self) -> ReplayFilter:
        """Return the conditions for the store."""
        statuses = self.statuses or (None if self.job_ids is not None else DEFAULT_STATUSES)
        return ReplayFilter(
            processor=self.processor,
            states=statuses,
            error_code=self.error_code,
            fingerprint=self.fingerprint,
            model_version=self.model_version,
            case_id=self.case_id,
            batch_id=self.batch_id,
            since=self.since,
            until=self.until,
            job_ids=self.job_ids,
        )

    def described(self) -> dict[str, Any]:
        """Return what the replay's row says of its selection. A case is hashed, because its id may name a patient."""
        said: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                said[field.name] = _described(field.name, value)
        return said


def _described(name: str, value: Any) -> Any:
    if name == "case_id":
        return f"sha256:{sha256(value.encode()).hexdigest()[:12]}"
    if name == "job_ids":
        return {"count": len(value)} if len(value) > 1 else list(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return list(value) if isinstance(value, tuple | list) else value


def ids_in(lines: Iterable[str]) -> list[str]:
    """Return the job ids of a file, one a line; empty lines and those that begin with # are skipped."""
    found = (line.strip() for line in lines)
    return list(dict.fromkeys(line for line in found if line and not line.startswith("#")))
