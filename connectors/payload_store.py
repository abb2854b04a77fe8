"""Port for requests that are accepted by a committed row, before the log has them (docs/adr/0013).

The program that accepts a request also publishes it right after the commit. If it dies in between, the timekeeper publishes
the request again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

#: Seconds from a request's acceptance until the timekeeper checks whether the sink has read it from the log.
CHECK_IN_S = 10.0


@dataclass(frozen=True, slots=True)
class Payload:
    """A request as it is published. `headers`: its Kafka headers, as text.

    `tenant`, `input_sha256` and `batch_id` are None for a request that did not come through the gateway.
    """

    job_id: str
    run: int
    processor: str
    lane: str
    key: bytes
    value: bytes
    headers: list[tuple[str, str]]
    tenant: str | None = None
    input_sha256: str | None = None
    batch_id: str | None = None


class Acceptance(NamedTuple):
    """`accepted`: False if the job was accepted before. `input_sha256`: hash of the input that the job has, None if unknown."""

    accepted: bool
    input_sha256: str | None


class PayloadStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        """Accept this run. False if it was accepted before; the first payload is kept."""
        ...

    def accept_many(self, payloads: Sequence[Payload], check_in_s: float = CHECK_IN_S) -> list[Acceptance]:
        """Accept many runs in one transaction. A job that was accepted before, here or by the log, keeps its first request."""
        ...

    def payload(self, job_id: str, run: int = 0) -> Payload | None:
        """Return an accepted request; None if it is unknown, or if its run has ended and it was deleted."""
        ...

    def close(self) -> None: ...
