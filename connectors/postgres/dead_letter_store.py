"""Operators' view of dead letters on Postgres."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from connectors.dead_letter_store import DeadLetter, DeadLetterFilter, DeadLetterGroup, LetterPlace
from connectors.postgres.base import PostgresStore
from connectors.postgres.statement import query
from schemas.ids import is_job_id


class PostgresDeadLetterStore(PostgresStore):
    """Implements `connectors.dead_letter_store.DeadLetterStore`."""

    application = "sluice dlq"

    def find(
        self, wanted: DeadLetterFilter, limit: int, after: tuple[datetime, LetterPlace] | None = None
    ) -> list[DeadLetter]:
        conditions, values = _conditions(wanted)
        at, place = after or (None, LetterPlace(0, 0))
        keyset = '(d.at, d.partition, d."offset") < (%(after)s, %(after_partition)s, %(after_offset)s)'
        conditions["after"] = "true" if at is None else keyset
        values |= {"limit": limit, "after": at, "after_partition": place.partition, "after_offset": place.offset}
        return [DeadLetter(**row) for row in self._rows("find_dead_letters", conditions, **values)]

    def groups(self, wanted: DeadLetterFilter) -> list[DeadLetterGroup]:
        conditions, values = _conditions(wanted)
        return [DeadLetterGroup(**row) for row in self._rows("dead_letter_groups", conditions, **values)]

    def drop(self, wanted: DeadLetterFilter, by: str, note: str) -> int:
        conditions, values = _conditions(wanted)
        [row] = self._rows("drop_dead_letters", conditions, **values, by=by, note=note)
        dropped: int = row["dropped"]
        return dropped


def _conditions(wanted: DeadLetterFilter) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what stands for each placeholder, and the values."""
    in_places = '(d.partition, d."offset") IN (SELECT * FROM unnest(%(partitions)s::integer[], %(offsets)s::bigint[]))'
    filters = {
        "places": "true" if wanted.places is None else in_places,
        "fingerprint": "true" if wanted.fingerprint is None else "d.fingerprint = %(fingerprint)s",
        "reason": "true" if wanted.reason is None else "d.reason = %(reason)s",
        "processor": "true" if wanted.processor is None else "d.processor = %(processor)s",
        "since": "true" if wanted.since is None else "d.at >= %(since)s",
        "until": "true" if wanted.until is None else "d.at < %(until)s",
        "job": "true" if wanted.job_id is None else "d.job_id = %(job_id)s",
        "tenant": "true" if wanted.tenant is None else "j.tenant = %(tenant)s",
    }
    places = [place for place in wanted.places or () if -(2**31) <= place.partition < 2**31 and place.offset < 2**63]
    values = {
        "partitions": [place.partition for place in places],
        "offsets": [place.offset for place in places],
        "fingerprint": wanted.fingerprint,
        "reason": wanted.reason,
        "processor": wanted.processor,
        "states": list(wanted.states or ()),
        "since": wanted.since,
        "until": wanted.until,
        "job_id": UUID(wanted.job_id) if wanted.job_id is not None and is_job_id(wanted.job_id) else None,
        "tenant": wanted.tenant,
    }
    letters = query("dead_letters").decode()
    for placeholder, condition in filters.items():
        letters = letters.replace(f"{{{placeholder}}}", condition)
    states = "true" if wanted.states is None else "d.state = ANY (%(states)s::text[])"
    return {"letters": letters, "states": states}, values
