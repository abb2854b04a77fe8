"""JSON as Postgres' jsonb takes it."""

from __future__ import annotations

from typing import Any

from connectors.callbacks.body import to_json
from connectors.postgres.arrays import REPLACEMENT


def jsonb(value: Any) -> bytes:
    """Encoded JSON. NaN and infinities become null, and NULs, which jsonb refuses, U+FFFD. Raises InvalidInput."""
    encoded = to_json(value)
    # Also true of a text that really says backslash-u0000: then the walk finds nothing to replace.
    return to_json(_without_nul(value)) if b"\\u0000" in encoded else encoded


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", REPLACEMENT)
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(item) for item in value]
    return value
