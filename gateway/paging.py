"""Cursors of keyset paging: the place after the last item of a page, as an opaque text."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime

from schemas.errors import UsageError
from schemas.ids import is_job_id


def cursor_of(at: datetime, id_: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), id_]).encode()).decode().rstrip("=")


def place_of(cursor: str | None, *, is_id: Callable[[str], bool] = is_job_id) -> tuple[datetime, str] | None:
    """Return the time and id of a cursor, None for no cursor. Raises UsageError for one that was not given out."""
    if cursor is None:
        return None
    try:
        at, id_ = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or not is_id(id_):
            raise ValueError
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError("The cursor is not one of a page.", next_step="Give `next_cursor` as it came.") from error
    return moment, id_
