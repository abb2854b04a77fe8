"""Checks what a table in Postgres can hold: both stores keep the same text and refuse the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterable

from connectors.sink_store import RunRow, Unstorable
from schemas.plain import REPLACEMENT

_INT4 = range(-(2**31), 2**31)
_INT8 = range(-(2**63), 2**63)


def storable_text(row: RunRow) -> RunRow:
    """Replace NULs, which Postgres can't store, so that both stores keep the same text."""
    return RunRow._make(
        value.replace("\0", REPLACEMENT) if isinstance(value, str) and "\0" in value else value for value in row
    )


def check_storable(runs: Iterable[RunRow]) -> None:
    """Reject values that a table in Postgres can't hold. Raises Unstorable."""
    for row in runs:
        small = (row.run, row.attempt, row.execution, row.sequence, row.partition or 0, row.won_partition or 0)
        large = (row.due_in_ms or 0, row.offset or 0, row.won_offset or 0)
        if not all(number in _INT4 for number in small) or not all(number in _INT8 for number in large):
            raise Unstorable("The database can't hold a row: a number is out of range.")
        for document in (row.labels, row.output, row.refs):
            if document is not None:
                _check_json(document)


def _check_json(document: bytes) -> None:
    try:
        json.loads(document)
    except (ValueError, RecursionError) as error:
        raise Unstorable(f"The database can't hold a row: {type(error).__name__}.") from error
