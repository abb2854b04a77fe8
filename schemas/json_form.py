"""The form that values of Avro take in JSON: the same in results, callbacks, the database and the command line."""

from __future__ import annotations

import base64
from datetime import date, time
from decimal import Decimal
from typing import Any


def json_form(value: Any) -> Any:
    """Return bytes as base64, dates and times in ISO 8601, decimals as text; any other value as it is."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
