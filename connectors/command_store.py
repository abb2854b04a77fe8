"""Port for stored commands: cancels of jobs, pause and resume of processors, and the workers' acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, Self

from connectors.views import ProcessorView, RunState


class CancelRow(NamedTuple):
    """A request to cancel a run. Fields are in the order of `c` in queries/store_cancels.sql."""

    job_id: bytes
    run: int
    requested_at: datetime
    requested_by: str
    reason: str


class CommandRow(NamedTuple):
    """The last command to a processor. `action`: pause or resume."""

    processor: str
    action: str
    requested_at: datetime
    requested_by: str
    reason: str


class AcknowledgementRow(NamedTuple):
    """A worker's last acknowledgement; `action`: paused or resumed."""

    processor: str
    worker_id: str
    action: str
    at: datetime


class CommandStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def write(
        self,
        cancels: Sequence[CancelRow],
        commands: Sequence[CommandRow],
        acknowledgements: Sequence[AcknowledgementRow],
    ) -> None:
        """Store everything or nothing. The first cancel of a run is kept; a later command or acknowledgement replaces an
        earlier one. No key may occur twice."""
        ...

    def run_states(self, job_ids: Sequence[str], run: int | None = None) -> list[RunState]:
        """Return the states of these jobs' current runs, or of the given run. Unknown jobs are left out."""
        ...

    def open_jobs(self, batch_id: str) -> list[RunState]:
        """Return the jobs of a batch that have not ended."""
        ...

    def processors(self, names: Sequence[str]) -> list[ProcessorView]:
        """Return the processors' last commands, their acknowledgements and job counts, in the order of the names."""
        ...

    def close(self) -> None: ...
