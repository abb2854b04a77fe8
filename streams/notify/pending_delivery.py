"""A delivery that is still to be made: the destination, the body, and the number of tries so far."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.callbacks.body import batch_event, progress_event, standard_event
from connectors.callbacks.delivery_try import DeliveryTry, OutgoingCallback, TryResult
from connectors.callbacks.schedule import next_try
from connectors.delivery_store import ClaimedDelivery, ProgressTry, TryRow
from schemas.errors import InvalidInput

#: Bytes of a delivery besides its body and destination, about.
_OVERHEAD = 512
#: A try of a progress ends so many seconds before its hold in the store, and takes at least so many.
_MARGIN_S, _LEAST_S = 1.0, 0.5
_FINAL_STATES = {
    TryResult.DELIVERED: "delivered",
    TryResult.GONE: "gone",
    TryResult.REFUSED: "refused",
    TryResult.SKIPPED: "skipped",
    TryResult.SUPERSEDED: "superseded",
}
_HAS_ENDED = DeliveryTry(None, 0.0, None, TryResult.SUPERSEDED, sent=False)
_TOO_LATE = DeliveryTry(None, 0.0, None, TryResult.RETRY, sent=False)


@dataclass(slots=True)
class ProgressHold:
    """The hold of a run's progress in the store. `expires_at`: on the monotonic clock, when its hold in the store ends.
    `ended`: its run has ended since. `sequence`: grows with each newer progress of the run. `notifier`: its holder."""

    notifier: bytes
    sequence: int
    ended: bool
    expires_at: float

    @property
    def left_s(self) -> float:
        return self.expires_at - time.monotonic() - _MARGIN_S


@dataclass(slots=True)
class PendingDelivery:
    """`body`, a standard event, is built at once, so that the memory of a waiting delivery is known: `size`, about, in bytes.
    `profile` and `processor` choose the shape that it gets at each try. `fault`: the reason why it can't be sent."""

    delivery_id: bytes
    destination: str
    tenant: str
    body: bytes
    tries: int = 0
    fault: str | None = None
    profile: str | None = None
    processor: str = ""
    progress: ProgressHold | None = None
    size: int = 0

    def __post_init__(self) -> None:
        self.size = len(self.body) + len(self.destination) + _OVERHEAD

    @classmethod
    def of(
        cls,
        delivery_id: bytes,
        destination: str,
        row: Mapping[str, Any],
        tries: int = 0,
        event: Callable[[Mapping[str, Any]], bytes] = standard_event,
    ) -> PendingDelivery:
        """Build the body from the fields of `row` (connectors.callbacks.body). Never raises: a body that can't be built is the
        fault of this one delivery."""
        body, fault = b"", None
        try:
            body = event(row)
        except InvalidInput as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a value of this job raises, others are delivered
            fault = f"The callback body can't be built: {type(error).__name__}."
        tenant, profile, processor = str(row["tenant"]), row["callback_profile"], str(row["processor"] or "")
        return cls(delivery_id, destination, tenant, body, tries, fault, profile, processor)

    @classmethod
    def claimed(cls, claimed: ClaimedDelivery, notifier: bytes, hold_ends_at: float) -> PendingDelivery:
        """Build a delivery that was claimed from the store. `hold_ends_at`: when the hold of a progress ends."""
        event = _EVENTS.get(claimed.kind, standard_event)
        delivery = cls.of(claimed.delivery_id, claimed.destination, claimed.row, claimed.tries, event)
        if claimed.kind == "batch":
            delivery.processor = str(claimed.row["body"]["processor"])
        if claimed.kind == "progress":
            delivery.progress = ProgressHold(
                notifier, claimed.sequence, claimed.row["status"] is not None, hold_ends_at
            )
        return delivery

    def callback(self) -> OutgoingCallback:
        """Return the callback to send. Raises InvalidInput if the body could not be built."""
        if self.fault is not None:
            raise InvalidInput(self.fault)
        message_id, timeout_s = self.delivery_id, None
        if self.progress is not None:
            message_id, timeout_s = _message_id(self.delivery_id, self.progress.sequence), self.progress.left_s
        return OutgoingCallback(
            canonical(message_id),
            self.destination,
            self.body,
            profile=self.profile,
            processor=self.processor,
            timeout_s=timeout_s,
        )

    def result_without_a_try(self) -> DeliveryTry | None:
        """Return the result of a progress that is not to be sent any more; None for any other delivery."""
        if self.progress is None:
            return None
        return _HAS_ENDED if self.progress.ended else _TOO_LATE if self.progress.left_s < _LEAST_S else None

    def next_state(self, tried: DeliveryTry, rng: random.Random) -> tuple[str, float]:
        """Return the state after a try, and the seconds until the delivery is due again."""
        if tried.result is not TryResult.RETRY:
            return _FINAL_STATES[tried.result], 0.0
        if not tried.counts:
            return "pending", 0.0
        wait = next_try(self.tries + 1, rng, tried.retry_after_s)
        return ("parked", 0.0) if wait is None else ("pending", wait)

    def record(self, state: str, due_in_s: float, tried: DeliveryTry | None = None) -> TryRow | ProgressTry:
        """Return the row of a try, or (without one) of the release of the delivery."""
        due_in_ms = int(due_in_s * 1000)
        outcome = (False, None, 0.0, None) if tried is None else (tried.counts, tried.status, tried.ms, tried.error)
        if self.progress is None:
            return TryRow(self.delivery_id, state, due_in_ms, *outcome)
        progress = self.progress
        return ProgressTry(self.delivery_id, progress.notifier, progress.sequence, state, due_in_ms, *outcome)


def _batch_event(row: Mapping[str, Any]) -> bytes:
    return batch_event(row["body"], row["created_at"])


_EVENTS: dict[str, Callable[[Mapping[str, Any]], bytes]] = {"progress": progress_event, "batch": _batch_event}


def _message_id(delivery_id: bytes, sequence: int) -> bytes:
    """Return the id of one progress: it differs from that of the next, so that a receiver takes it for another message."""
    digest = hashlib.blake2b(b"%b:%d" % (delivery_id, sequence), digest_size=10).digest()
    return delivery_id[:6] + bytes((0x80 | digest[0] & 0x0F, digest[1], 0x80 | digest[2] & 0x3F)) + digest[3:]


def canonical(id_: bytes) -> str:
    """Return `str(uuid.UUID(bytes=id_))` at a fifth of its cost."""
    text = id_.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
