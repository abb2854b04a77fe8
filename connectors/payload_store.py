"""Port for requests that are accepted by a committed row, before the log has them (docs/adr/0013).

The program that accepts a request also publishes it right after the commit. If it dies in between, the timekeeper publishes
the request again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

#: Seconds from a request's acceptance until the timekeeper checks whether the sink has read it from the log.
CHECK_IN_S = 10.0


@dataclass(frozen=True, slots=True)
class Payload:
    """A request as it is published. `headers`: its Kafka headers, as text."""

    job_id: str
    run: int
    processor: str
    lane: str
    key: bytes
    value: bytes
    headers: list[tuple[str, str]]


class PayloadStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        """Accept this run. False if it was accepted before; the first payload is kept."""
        ...

    def close(self) -> None: ...
