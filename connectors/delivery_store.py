"""Port of the notifier's store: it claims deliveries and records their tries.

Implementations: `postgres/delivery_store.py`, `memory/delivery_store.py`.
"""

from __future__ import annotations

import re
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


_AUTHORITY = re.compile(r"://([^/?#]*)")


def authority_of(url: str) -> str:
    """Return host and port as the URL has them, in lower case, like the function `callback_authority` in Postgres."""
    found = _AUTHORITY.search(url)
    return found[1].lower()[:256] if found else ""


@dataclass(frozen=True, slots=True)
class Busy:
    """Tenants, and destinations by their host and port as written (`authority_of`), of which no delivery is to be claimed."""

    tenants: Sequence[str] = ()
    destinations: Sequence[str] = ()


#: Queues (a tenant and a destination) that one claim looks at, and due deliveries of one queue. The next claim goes on with the
#: queues behind them.
QUEUES = 100
PER_QUEUE = 100
CLAIM_BYTES = 8 << 20
NOT_BUSY = Busy()


class DeliveryStore(Protocol):
    """Used by one thread. Every call raises Unreachable while the store does not answer."""

    def renew(self, notifier: bytes, lease_s: float) -> None:
        """Extend this notifier's lease by `lease_s` seconds from now, on the store's clock."""
        ...

    def retire(self, notifier: bytes) -> None:
        """End the lease. Its deliveries can be claimed by other notifiers immediately."""
        ...

    def claim(
        self, notifier: bytes, limit: int, max_bytes: int = CLAIM_BYTES, busy: Busy = NOT_BUSY
    ) -> list[ClaimedDelivery]:
        """Claim due deliveries that no living notifier holds: at most `limit`, and no more once they have `max_bytes`.

        Queues take turns, so that a queue with any number of due deliveries delays no other. Each is in order of due time."""
        ...

    def held(self, notifier: bytes, limit: int, max_bytes: int = CLAIM_BYTES) -> list[ClaimedDelivery]:
        """Return pending deliveries that this notifier holds already, the oldest first, bounded as in `claim`; the sink assigns
        some that it may not know of."""
        ...

    def record(self, rows: Sequence[TryRow]) -> None:
        """Store the results of tries. An ended delivery does not become pending again, and a delivered one stays delivered.

        Raises Unstorable if the store can't hold one of the rows; then none is stored."""
        ...

    def abort(self) -> None:
        """Make the call that another thread makes now fail, so that this thread ends. Raises nothing."""
        ...

    def close(self) -> None: ...
