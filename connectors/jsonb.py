"""JSON in the form that a jsonb column accepts."""

from __future__ import annotations

from typing import Any

from connectors.callbacks.body import to_json


def jsonb(value: Any) -> bytes:
    """Encode as JSON, with null for NaN and infinities and U+FFFD for NULs, which jsonb rejects. Raises InvalidInput."""
    return to_json(value)
