"""Port of the notifier's store: it claims deliveries and records their tries.

Implementations: `postgres/delivery_store.py`, `memory/delivery_store.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
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


class ProgressTry(NamedTuple):
    """The result of one try of a progress, as in TryRow. `sequence`: of the progress that was sent (ClaimedDelivery).

    Fields are in the order of `t` in queries/record_progress.sql.
    """

    delivery_id: bytes
    notifier: bytes
    sequence: int
    state: str
    due_in_ms: int
    counts: bool
    status: int | None
    ms: float
    error: str | None


class DestinationTries(NamedTuple):
    """Tries of a tenant's deliveries to a destination, since they were last noted. Fields are in the order of `t` in
    queries/note_destinations.sql."""

    tenant: str
    destination: str
    delivered: int
    failed: int
    last_error: str | None


class NotedCircuit(NamedTuple):
    """A destination whose circuit is open for so long, or (None) closed again."""

    destination: str
    retry_in_ms: int | None


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this notifier holds. `row`: the columns that its callback body is made from. `kind`: outcome, progress or
    batch. `sequence`: of a progress, grows with each newer one; its status is None while its run has not ended."""

    delivery_id: bytes
    destination: str
    tries: int
    row: Mapping[str, Any]
    kind: str = "outcome"
    sequence: int = 0


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
#: Seconds that a claimed progress is held at most, whatever becomes of its notifier: the outcome of its run waits for it.
HOLD_S = 40.0
#: How long the health of destinations is kept.
HEALTH_KEPT = timedelta(days=7)


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

    def record_progress(self, rows: Sequence[ProgressTry]) -> None:
        """Store the results of tries of progress callbacks. Those of progress that its notifier no longer holds have no effect.

        Newer progress is due at once, and so is the outcome of a run that has ended meanwhile. Of the tries, only the last is
        kept. Raises Unstorable as `record`."""
        ...

    def note_destinations(self, tries: Sequence[DestinationTries], circuits: Sequence[NotedCircuit]) -> None:
        """Add to the health of destinations, for operators (connectors.delivery_admin). Raises Unstorable as `record`."""
        ...

    def abort(self) -> None:
        """Make the call that another thread makes now fail, so that this thread ends. Raises nothing."""
        ...

    def close(self) -> None: ...
