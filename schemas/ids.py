"""Job ids: time-ordered when fresh, derived when the caller gave a key, so that asking twice makes one job."""

from __future__ import annotations

import uuid

import uuid_utils

#: Fixed for ever: derived ids must not change between versions.
NAMESPACE = uuid.UUID("5b3d8d3e-8f0e-5c1e-9f57-5105ce000001")


def new_id() -> str:
    """A UUIDv7 (RFC 9562): sorts by creation time."""
    return str(uuid_utils.uuid7())


def derived_id(tenant: str, processor: str, key: str) -> str:
    """uuid5 of tenant, processor and idempotency key, joined by NUL so that no two triples run together."""
    return str(uuid.uuid5(NAMESPACE, f"{tenant}\0{processor}\0{key}"))


def is_job_id(text: str) -> bool:
    """Whether `text` is a UUID in its canonical form, as every job id is."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
