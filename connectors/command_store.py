"""Orders as they are stored: what was asked of a job or a processor, and what the workers answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, Self

from connectors.views import ProcessorView, RunState


class CancelRow(NamedTuple):
    """Somebody asked for a run to stop. The order is that of `c` in queries/store_cancels.sql."""

    job_id: bytes
    run: int
    requested_at: datetime
    requested_by: str
    reason: str


class CommandRow(NamedTuple):
    """The last order to a processor; `action`: pause or resume."""

    processor: str
    action: str
    requested_at: datetime
    requested_by: str
    reason: str


class AcknowledgementRow(NamedTuple):
    """A worker's last answer; `action`: paused or resumed."""

    processor: str
    worker_id: str
    action: str
    at: datetime


class CommandStore(Protocol):
    """Used by one thread; a context manager that disconnects. Every call raises Unreachable, and UsageError where
    `sluice migrate` was never run."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def write(
        self,
        cancels: Sequence[CancelRow],
        commands: Sequence[CommandRow],
        acknowledgements: Sequence[AcknowledgementRow],
    ) -> None:
        """All of it or nothing. The first cancel of a run stands; of orders and answers, the last. No key comes twice."""
        ...

    def run_states(self, job_ids: Sequence[str], run: int | None = None) -> list[RunState]:
        """Where these jobs stand by their current runs, or by the given one; a job that is not known is left out."""
        ...

    def open_jobs(self, batch_id: str) -> list[RunState]:
        """The jobs of a batch that have not ended."""
        ...

    def processors(self, names: Sequence[str]) -> list[ProcessorView]:
        """What was asked of these processors, who answered, and how their jobs stand; in the order of the names."""
        ...

    def close(self) -> None: ...
