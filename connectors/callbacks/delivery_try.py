"""What one try said, and what follows from it: pure, so that every status code can be tested without a server.

    2xx                                              delivered
    410                                              gone     the backend says itself: disable this destination
    408, 425, 429, 5xx, no connection, no answer     retry    they pass
    3xx                                              retry    never followed: it would lead past the guard
    other 4xx                                        retry    see below
    the guard's no, an unusable URL                  refused  trying again can't change it

A 404 or 401 is retried because a backend that is being deployed answers 404, and one whose key is being rotated 401. The
schedule ends by itself and parks the delivery where it is seen and resent; giving up at the first 404 loses callbacks.
"""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class TryResult(StrEnum):
    DELIVERED = "delivered"
    RETRY = "retry"
    GONE = "gone"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class OutgoingCallback:
    """What goes out. `delivery_id` is the same over all tries: the receiver dedupes by it."""

    delivery_id: str
    destination: str
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class DeliveryTry:
    """What came of one try. `error` is None when it was delivered, else a sentence for the operator."""

    status: int | None
    ms: float
    error: str | None
    result: TryResult
    retry_after_s: float | None = None


def result_of(status: int) -> TryResult:
    if 200 <= status < 300:
        return TryResult.DELIVERED
    return TryResult.GONE if status == 410 else TryResult.RETRY


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds asked for by a Retry-After header, given as seconds or as an HTTP date; None when absent or unreadable."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def answer_error(status: int, head: bytes) -> str:
    """The operator's sentence for an answer that is not 2xx; `head` is the beginning of its body."""
    meaning = "a redirect, which is never followed" if 300 <= status < 400 else "an error"
    text = " ".join(head.decode("utf-8", "replace").split())
    text = "".join(character for character in text if character.isprintable())
    return f"The backend answered {status}, {meaning}" + (f": {text}" if text else ".")
