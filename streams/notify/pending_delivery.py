"""A delivery that is still to be made: the destination, the body's fields, and the number of tries so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.callbacks.body import standard_event
from connectors.callbacks.delivery_try import OutgoingCallback


@dataclass(slots=True)
class PendingDelivery:
    """`row` has the fields from which the body is built when it is sent (connectors.callbacks.body)."""

    delivery_id: bytes
    destination: str
    row: Mapping[str, Any]
    tries: int = 0

    def callback(self) -> OutgoingCallback:
        """Build the callback to send. Raises InvalidInput if the body can't be written as JSON."""
        return OutgoingCallback(canonical(self.delivery_id), self.destination, standard_event(self.row))


def canonical(id_: bytes) -> str:
    """Return `str(uuid.UUID(bytes=id_))` at a fifth of its cost."""
    text = id_.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
