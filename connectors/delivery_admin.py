"""Port for what operators see and change of deliveries: list them, send ended ones again, and the health of destinations.

Implementations: `postgres/delivery_admin.py`, `memory/delivery_admin.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, Self

from connectors.callbacks.resolve import destination_of
from connectors.views import TryView
from schemas.errors import Conflict

#: States of a delivery that has ended and may be sent again. Progress is not: its time is over.
ENDED = ("delivered", "parked", "gone", "refused", "skipped")
#: Those that never reached their backend, although they should have.
FAILED = ("parked", "gone", "refused")
STATES = ("pending", *ENDED, "superseded")
#: How long the tries of a destination are counted, and how long they are kept.
HEALTH_OF = timedelta(hours=24)
#: A circuit whose retry time passed longer ago is closed, or its notifier is gone.
HALF_OPEN_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; None matches all. `since` and `until`: of their creation. `destination`: host:port, or a host."""

    tenant: str | None = None
    job_id: str | None = None
    destination: str | None = None
    states: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[str] | None = None

    @property
    def authorities(self) -> list[str] | None:
        """Return the spellings of the destination in a URL, in lower case."""
        if self.destination is None:
            return None
        name = self.destination.lower()
        host, _, port = name.rpartition(":")
        bare = not host or name.endswith("]")  # no port: IPv6 stands in brackets
        return [name, f"{name}:80", f"{name}:443"] if bare else [name, host] if port in ("80", "443") else [name]


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery in a list. `kind`: outcome, progress or batch (then `job_id` is the batch's). `due_at`: of the next try, while
    it is pending."""

    delivery_id: str
    job_id: str
    run: int
    kind: str
    tenant: str
    destination: str
    profile: str | None
    state: str
    tries: int
    due_at: datetime | None
    created_at: datetime
    ended_at: datetime | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class DestinationView:
    """The health of a destination. `delivered` and `failed`: tries of the last 24 hours. `circuit`: closed, open, half-open."""

    destination: str
    circuit: str = "closed"
    retry_at: datetime | None = None
    pending: int = 0
    delivered: int = 0
    failed: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None

    @property
    def success_rate(self) -> float | None:
        """Return the share of successful tries; None without any."""
        tries = self.delivered + self.failed
        return self.delivered / tries if tries else None


class HealthRow(NamedTuple):
    """Tries of a tenant to a destination in the last 24 hours, with its last error."""

    destination: str
    delivered: int
    failed: int
    last_error: str | None
    last_error_at: datetime | None


class DeliveryAdmin(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def find(self, wanted: DeliveryFilter, limit: int, after: tuple[datetime, str] | None = None) -> list[DeliveryRow]:
        """Return deliveries, newest first. `after`: `(created_at, delivery_id)` of the last row of the previous page."""
        ...

    def delivery(self, delivery_id: str, tenant: str | None = None) -> tuple[DeliveryRow, list[TryView]] | None:
        """Return a delivery with its tries; None if it is unknown, or if it is not the given tenant's."""
        ...

    def count(self, wanted: DeliveryFilter) -> tuple[int, datetime]:
        """Return how many deliveries `resend` would send again, and the store's time."""
        ...

    def resend(self, wanted: DeliveryFilter, ended_before: datetime | None, limit: int) -> list[str]:
        """Make at most `limit` ended deliveries pending, each with a new series of tries; return their ids.

        `ended_before` leaves out those that have ended since, so that repeated calls send none twice."""
        ...

    def destinations(self, tenant: str | None = None) -> list[DestinationView]:
        """Return the destinations of the last 24 hours, and those with pending deliveries, by name."""
        ...

    def close(self) -> None: ...


def check_resendable(row: DeliveryRow) -> None:
    """Raise Conflict for a delivery that can't be sent again."""
    if row.kind == "progress":
        raise Conflict("A progress callback is not sent again: its time is over.", next_step="Read the job instead.")
    if row.state == "pending":
        raise Conflict("The delivery is still pending.", next_step="Its next try follows by itself.")


def merged(
    pending: Iterable[tuple[str, int]],
    health: Iterable[HealthRow],
    circuits: Mapping[str, tuple[datetime | None, datetime]],
    now: datetime,
) -> list[DestinationView]:
    """Return the views of all destinations. `pending`: numbers of pending deliveries by a URL of their destination."""
    found: dict[str, DestinationView] = {}
    for url, number in pending:
        name = destination_of(url) or url
        one = found.get(name, DestinationView(name))
        found[name] = replace(one, pending=one.pending + number)
    for row in health:
        one = found.get(row.destination, DestinationView(row.destination))
        newer = row.last_error_at and (one.last_error_at is None or row.last_error_at > one.last_error_at)
        found[row.destination] = replace(
            one,
            delivered=one.delivered + row.delivered,
            failed=one.failed + row.failed,
            last_error=row.last_error if newer else one.last_error,
            last_error_at=row.last_error_at if newer else one.last_error_at,
        )
    for name in found:
        retry_at, _ = circuits.get(name, (None, now))
        if retry_at is not None and retry_at > now - HALF_OPEN_FOR:
            found[name] = replace(
                found[name], circuit="open" if retry_at > now else "half-open", retry_at=max(retry_at, now)
            )
    return [found[name] for name in sorted(found)]
