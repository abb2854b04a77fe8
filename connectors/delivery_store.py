"""What the notifier needs of a store: claims, and a place to write down what came of them. The one on Postgres is
`postgres/delivery_store.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class TryRow(NamedTuple):
    """What came of one try, or (`counts` false) of a claim that is given back untried. `state` is the delivery's from now
    on; `due_in_ms` when it may be claimed again. The order is that of `t` in queries/record_tries.sql."""

    delivery_id: bytes
    state: str
    due_in_ms: int
    counts: bool
    status: int | None
    ms: float
    error: str | None


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """`row` is what the callback's body is made of."""

    delivery_id: bytes
    destination: str
    tries: int
    row: Mapping[str, Any]


class DeliveryStore(Protocol):
    """Used by one thread. Every call raises Unreachable while the store does not answer."""

    def renew(self, notifier: bytes, lease_s: float) -> None:
        """Be alive for that long from now, by the store's clock."""
        ...

    def retire(self, notifier: bytes) -> None:
        """Be gone: whatever is still held may be claimed at once."""
        ...

    def claim(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        """Take pending deliveries that are due and nobody's, or whose notifier is dead."""
        ...

    def held(self, notifier: bytes, limit: int) -> list[ClaimedDelivery]:
        """Pending deliveries that are this notifier's already: what it was given and may not know of."""
        ...

    def record(self, rows: Sequence[TryRow]) -> None:
        """Write down what came of them. A delivery that was delivered stays so."""
        ...

    def close(self) -> None: ...
