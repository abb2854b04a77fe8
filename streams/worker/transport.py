"""The port between a worker and its installation: Kafka and its stores (`kafka_transport.py`), or a gateway over HTTPS
(`gateway/transport.py`) for a machine that reaches nothing else.

One transport serves all engines of a worker. The engine never asks which one it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from schemas.contract import AnyContract
from schemas.headers import Header
from streams.worker.command_state import CommandState
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.job_source import JobSource
from streams.worker.protocol import Answer, ChildConfig
from streams.worker.supervision.supervisor import Supervisor


class Facts(NamedTuple):
    """Facts of the installation that a processor's child needs: its request topics with their ids, by lane, and the ids of our
    schemas by subject, so that children start and restart while the registry is down."""

    topics: list[list[str]]
    schema_ids: dict[str, int]


class CommandFeed(Protocol):
    """Where cancels and pauses come from. Call `start` once, and `stop` at the end, also if it was never started."""

    state: CommandState

    def start(self) -> None: ...

    def wait_until_read(self) -> bool:
        """Wait (bounded) until the commands are known that were given before this worker started."""
        ...

    def stop(self) -> None: ...


class ResultPublisher(Protocol):
    """Hands in results. A job is done (`InFlightJobs.confirmed`) only once the log has what was published for it."""

    published: int
    dead_lettered: int
    #: Why the last record was not taken; None if it was. From any thread.
    fault: str | None

    def start(self) -> None: ...

    def publish(self, answer: Answer) -> None:
        """Hand in a job's result, its dead letter, or both. The answer of a disowned job is its new owner's."""
        ...

    def write(self, topic: str, key: bytes, value: bytes, kafka_headers: Sequence[Header] = ()) -> None:
        """Write a record that no job waits for; it may get lost, which the worker's log says. Thread-safe."""
        ...

    def stop(self, timeout: float) -> None: ...


class Transport(Protocol):
    @property
    def commands(self) -> CommandFeed: ...

    def facts(self, made: AnyContract) -> Facts:
        """Look up what a processor's child needs. Raises Unreachable: try again; StartupError and others: it can't start."""
        ...

    def publisher(
        self, config: ChildConfig, in_flight: InFlightJobs, too_large: Callable[[InFlightJob], None]
    ) -> ResultPublisher:
        """Make an engine's publisher. `too_large` is called with a job whose result is refused for its size."""
        ...

    def acknowledger(self, config: ChildConfig, publisher: ResultPublisher) -> Callable[[], None]:
        """Return a function that acknowledges the last pause or resume, if that is still to be done."""
        ...

    def source(
        self,
        config: ChildConfig,
        ready: Mapping[str, Any],
        in_flight: InFlightJobs,
        supervisor: Supervisor,
        on_revoked: Callable[[Sequence[JobOrigin]], None],
    ) -> JobSource:
        """Make an engine's source of jobs. `ready` is the child's READY message."""
        ...

    def has_colleagues(self, processor: str) -> bool:
        """Return False if surely no other worker takes this processor's jobs while this one is away."""
        ...

    def fault(self) -> str | None:
        """Return why the installation can't be reached; None if it answers. From the health server's thread."""
        ...
