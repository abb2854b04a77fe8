"""Port of the notifier's store: it claims deliveries and records their tries.

Implementations: `postgres/delivery_store.py`, `memory/delivery_store.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class TryRow(NamedTuple):
    """The result of one try, or (`counts` is false) a claim that is released without a try.

    `state`: the delivery's new state. `due_in_ms`: time until it may be claimed again. Fields are in the order of `t` in
    queries/record_tries.sql.
    """

    delivery_id: bytes
    state: str
    due_in_ms: int
    counts: bool
    status: int | None
    ms: float
    error: str | None


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this notifier holds. `row`: the columns that its callback body is made from."""

    delivery_id: bytes
    destination: str
    tries: int
    row: Mapping[str, Any]


class DeliveryStore(Protocol):
    """Used by one thread. Every call raises Unreachable while the store does not answer."""

    def renew(self, notifier: bytes, lease_s: float) -> None:
        """Extend this notifier's lease by `lease_s` seconds from now, on the store's clock."""
        ...

    def retire(self, notifier: bytes) -> None:
        """End the lease. Its deliveries can be claimed by other notifiers immediately."""
        ...

    def claim(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        """Claim due deliveries that no notifier holds, and deliveries of dead notifiers. At most `limit` of each kind."""
        ...

    def held(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        """Return pending deliveries that this notifier holds already; the sink assigns some that it may not know of."""
        ...

    def record(self, rows: Sequence[TryRow]) -> None:
        """Store the results of tries. A delivery that was delivered stays delivered."""
        ...

    def close(self) -> None: ...
