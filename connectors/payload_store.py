"""Requests that are accepted by a committed row, before the log has them (docs/adr/0013).

Whoever accepts one publishes it as well, right after the commit; what gets lost in between is sent again by the timekeeper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

#: How long a request may take from its acceptance to its row, before it is sent again.
CHECK_IN_S = 10.0


@dataclass(frozen=True, slots=True)
class Payload:
    """A request as it travels. `headers`: Kafka's, as text."""

    job_id: str
    run: int
    processor: str
    lane: str
    key: bytes
    value: bytes
    headers: list[tuple[str, str]]


class PayloadStore(Protocol):
    """Used by one thread; a context manager that disconnects. Every call raises Unreachable, and UsageError where
    `sluice migrate` was never run."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        """From now on the promise holds for this run. False if its run was accepted before; that one stands."""
        ...

    def close(self) -> None: ...
