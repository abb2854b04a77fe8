"""Passes the deliveries of a stored batch to a notifier in the same process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streams.notify.pending_delivery import PendingDelivery


class DeliveryHandoff(Protocol):
    """Saves the notifier a read from the store. A delivery that is not handed off is claimed from the store later."""

    @property
    def notifier_id(self) -> bytes | None:
        """Notifier id to write on the next deliveries; None lets any notifier claim them."""
        ...

    def submit(self, notifier: bytes, deliveries: Sequence[PendingDelivery]) -> None:
        """Send these deliveries, which were stored under this notifier id just now. Any others are not handed off: another
        notifier may claim them, and would send them too."""
        ...

    def reconcile(self) -> None:
        """Look soon for deliveries that were stored under `notifier_id` but never submitted."""
        ...


class NoHandoff:
    """Hands nothing off: notify is a service of its own and claims every delivery."""

    notifier_id: bytes | None = None

    def submit(self, notifier: bytes, deliveries: Sequence[PendingDelivery]) -> None:
        return None

    def reconcile(self) -> None:
        return None
