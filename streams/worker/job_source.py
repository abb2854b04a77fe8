"""The port between the engine and where its jobs come from: a consumer group (`kafka_source`) or leases (`lease_source`).

Every call comes from the engine's thread, unless said otherwise. Calls raise SluiceError when the engine can't go on.
A third source implements JobSource and JobOrigin (`job.py`) in a package beside `kafka_source`. It also touches: Custody in
`schemas/states.py` and `schemas/contract.py`; a Transport (`transport.py`), which makes it; `child/results.py` (coordinates);
`streams/admin/group_offsets.py` and `streams/sink/topic_table.py`; the arrows in `tests/unit/test_architecture.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from streams.worker.job import InFlightJob
from streams.worker.protocol import Answer


class JobSource(Protocol):
    """Admits its jobs to InFlightJobs, which reports what happens to each of them to its JobOrigin.

    A source that can lose jobs calls `disown` of InFlightJobs and of Supervisor for them, and, if its jobs have an order, the
    session's `on_revoked` with their origins.
    """

    def start(self) -> None:
        """Begin to take jobs. Called once, when all else is ready."""

    def poll(self, timeout_s: float, *, jobs_wait: bool) -> list[InFlightJob]:
        """Return new jobs, as many as there is capacity for; wait for the first at most `timeout_s`, more or less.

        `jobs_wait`: jobs wait here for others, so return as soon as one of those is done.
        """
        ...

    def keep_alive(self) -> list[InFlightJob]:
        """Take no jobs, but do not lose ownership meanwhile. Returns jobs that came all the same, mostly none."""
        ...

    def pause(self, timeout_s: float) -> list[InFlightJob]:
        """Like keep_alive, for a paused processor or a worker that stops: from now on the source asks for no jobs."""
        ...

    def dispatch(self, jobs: list[InFlightJob]) -> None:
        """Send admitted jobs to the child, now or when it is safe."""

    def release(self, jobs: Sequence[InFlightJob]) -> None:
        """Give up jobs that have not begun, because this worker stops: another worker may have them at once.

        Calls Supervisor, for those that the child has, and InFlightJobs, for the others.
        """

    def may_publish(self, job: InFlightJob, answer: Answer) -> bool | None:
        """Return True if the job is still ours. None: unknown, ask again after the next `tick`. False: the answer is discarded,
        and the source has removed the job. From the child's reader thread, too."""
        ...

    def tick(self, now: float) -> None:
        """Do what is due: commits, renewals, joining. Called several times a second; `now` is monotonic."""

    def why_not_ready(self) -> str | None:
        """Return why no jobs can come now; None if they can. From any thread."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Return counters for the worker's status. From any thread."""
        ...

    def close(self) -> None:
        """Wait for delivery reports of answered jobs, then give up the others, and end all threads of the source.

        The child has ended before, so that no job runs in two places.
        """
