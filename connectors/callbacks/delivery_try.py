"""Classifies the response to one try. No I/O, so that every status code can be tested without a server.

    2xx                                              delivered
    410                                              gone     the backend asks to disable this destination
    408, 425, 429, 5xx, no connection, no answer     retry    temporary
    3xx                                              retry    never followed: a redirect would bypass the guard
    other 4xx                                        retry    see below
    refused by the guard, an unusable URL            refused  trying again can't help
    its profile sends nothing at this moment         skipped
    progress of a run that has ended                 superseded

A 404 or 401 is retried because a backend answers 404 while it is being deployed and 401 while its key is being rotated. The
retry schedule ends and parks the delivery, where an operator sees and resends it; giving up at once would lose callbacks.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from connectors.callbacks.file_body import FileBody


class TryResult(StrEnum):
    DELIVERED = "delivered"
    RETRY = "retry"
    GONE = "gone"
    REFUSED = "refused"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"


class OutgoingCallback(NamedTuple):
    """A callback to send. `delivery_id` is the same in all tries, so that the receiver can deduplicate by it.

    `profile`, `processor`: of the job, they choose its shape (shaped.py). `timeout_s`: None means the deliverer's."""

    delivery_id: str
    destination: str
    body: bytes | FileBody
    content_type: str = "application/json"
    profile: str | None = None
    processor: str = ""
    timeout_s: float | None = None
    headers: Mapping[str, str] | None = None


class DeliveryTry(NamedTuple):
    """Result of one try. `error`: a sentence for the operator, None if it was delivered. `sent`: False if it failed before the
    destination was asked."""

    status: int | None
    ms: float
    error: str | None
    result: TryResult
    retry_after_s: float | None = None
    sent: bool = True

    @property
    def counts(self) -> bool:
        """False if there was nothing to try."""
        return self.status is not None or self.error is not None


def result_of(status: int) -> TryResult:
    if 200 <= status < 300:
        return TryResult.DELIVERED
    return TryResult.GONE if status == 410 else TryResult.RETRY


def is_destinations_fault(status: int | None) -> bool:
    """True if a failed try counts against its destination as a whole: no answer, an overload or a server error. Any other 4xx
    only concerns the one request."""
    return status is None or status >= 500 or status in (408, 429)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header (seconds or an HTTP date); None if it is absent or unreadable."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    except Exception:  # noqa: BLE001 - besides ValueError the parser raises OverflowError (year 99999999999) and others
        return None


def answer_error(status: int, head: bytes) -> str:
    """Describe a response that is not 2xx for the operator; `head`: beginning of its body."""
    meaning = "a redirect, which is never followed" if 300 <= status < 400 else "an error"
    text = " ".join(head.decode("utf-8", "replace").split())
    text = "".join(character for character in text if character.isprintable())
    return f"The backend answered {status}, {meaning}" + (f": {text}" if text else ".")
