"""Job ids: time-ordered, or derived from the caller's idempotency key so that submitting twice makes one job."""

from __future__ import annotations

import uuid

import uuid_utils

#: Must never change: derived ids are the same in all versions.
NAMESPACE = uuid.UUID("5b3d8d3e-8f0e-5c1e-9f57-5105ce000001")


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562), which sorts by creation time."""
    return str(uuid_utils.uuid7())


def derived_id(tenant: str, processor: str, key: str, key_space: str = "") -> str:
    """Return the uuid5 of tenant, processor and idempotency key, joined by NUL so that different triples never collide.

    `key_space`: sets the keys that a program of ours makes apart from those of users, who may choose any text. No name of a
    processor has a colon.
    """
    owner = f"{key_space}:{processor}" if key_space else processor
    return str(uuid.uuid5(NAMESPACE, f"{tenant}\0{owner}\0{key}"))


def is_job_id(text: str) -> bool:
    """True if `text` is a UUID in canonical form, like every job id."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
