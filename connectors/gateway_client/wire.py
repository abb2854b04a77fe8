"""Leases as JSON, for both ends. Bytes are base64. Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from connectors.lease_store import Grant, HeartbeatAnswer, Hold, RunKey
from schemas.records import Coordinates

#: Rises when a gateway and a worker of different versions would misunderstand each other.
PROTOCOL = 1

Json = dict[str, Any]


def grant_to_json(grant: Grant) -> Json:
    plain = asdict(grant)
    return plain | {
        "key": to_text(grant.key),
        "value": to_text(grant.value),
        "headers": [[name, to_text(value)] for name, value in grant.headers],
        "accepted_at": grant.accepted_at.isoformat(),
        "expires_at": grant.expires_at.isoformat(),
    }


def grant_from_json(plain: Json) -> Grant:
    """Raises ValueError, TypeError, KeyError for anything that is no grant."""
    place = plain["coordinates"]
    return Grant(
        **plain
        | {
            "key": to_bytes(plain["key"]),
            "value": to_bytes(plain["value"]),
            "headers": tuple((name, to_bytes(value)) for name, value in plain["headers"]),
            "coordinates": None if place is None else Coordinates(**place),
            "accepted_at": datetime.fromisoformat(plain["accepted_at"]),
            "expires_at": datetime.fromisoformat(plain["expires_at"]),
        }
    )


def hold_to_json(hold: Hold) -> Json:
    return hold._asdict()


def answer_to_json(answer: HeartbeatAnswer) -> Json:
    return {name: [list(key) for key in sorted(getattr(answer, name))] for name in ("renewed", "lost", "cancelled")}


def answer_from_json(plain: Mapping[str, Iterable[Any]]) -> HeartbeatAnswer:
    return HeartbeatAnswer(
        **{name: frozenset(RunKey(str(job), int(run)) for job, run in plain[name]) for name in plain}
    )


def to_text(data: bytes) -> str:
    return b64encode(data).decode()


def to_bytes(text: str) -> bytes:
    """Raises ValueError for text that is not base64."""
    return b64decode(text, validate=True)
