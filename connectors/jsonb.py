"""JSON in the form that a jsonb column accepts."""

from __future__ import annotations

from typing import Any

from connectors.callbacks.body import to_json
from connectors.sink_store import REPLACEMENT


def jsonb(value: Any) -> bytes:
    """Encode as JSON. NaN and infinities become null, NULs (which jsonb rejects) become U+FFFD. Raises InvalidInput."""
    encoded = to_json(value)
    # A text that contains a literal backslash-u0000 also matches; the walk then finds nothing to replace.
    return to_json(_without_nul(value)) if b"\\u0000" in encoded else encoded


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", REPLACEMENT)
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(item) for item in value]
    return value
