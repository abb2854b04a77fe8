"""Everything that a run left behind: the journals of driver and receiver, the log, the tables, the faults.

All times are seconds since 1970 by this machine's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"})
Run = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that the driver invoked. `token`: the driver's own name for it, which the job carries as its external id.

    `status` is Jepsen's: "ok" (accepted), "fail" (certainly not accepted), "info" (unknown). `copies`: how often it was
    submitted on purpose. `states`, `message`, `error`: the known answer.
    """

    token: str
    at: float
    status: str = "ok"
    job_id: str | None = None
    kind: str = "plain"
    door: str = "client"
    states: tuple[str, ...] = ("COMPLETED",)
    message: str | None = None
    error: str | None = None
    callback: bool = False
    order_key: str | None = None
    copies: int = 1
    accepted_at: float | None = None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    topic: str
    partition: int
    offset: int
    job_id: str
    run: int
    attempt: int
    token: str | None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A record of `results.*` or of `outcomes.*`. `state`: what its disposition and error amount to."""

    topic: str
    partition: int
    offset: int
    job_id: str
    run: int
    attempt: int
    execution: int
    disposition: str
    state: str
    message: str | None
    error: str | None
    started_at: float = 0.0
    finished_at: float = 0.0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    job_id: str
    run: int
    status: str
    message: str | None
    error: str | None
    topic: str
    partition: int
    offset: int
    decided_at: float


@dataclass(frozen=True, slots=True)
class RunRow:
    """`rank`: by which a run only moves forward. `seen`: when the poller read the row."""

    job_id: str
    run: int
    state: str
    attempt: int
    execution: int
    sequence: int
    seen: float = 0.0

    @property
    def rank(self) -> tuple[int, int, int, int]:
        phase = {"PENDING": 0, "PROCESSING": 1, "RETRYING": 2}.get(self.state, 3)
        return (self.attempt, phase, self.execution, self.sequence)


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    delivery_id: str
    job_id: str
    run: int
    kind: str
    state: str
    tries: int


@dataclass(frozen=True, slots=True)
class Received:
    """A callback that the receiver read. `accepted`: it took it; then it may still have answered 500, or late."""

    at: float
    token: str
    delivery_id: str
    job_id: str
    run: int
    status: str
    message: str | None
    accepted: bool = True
    answered: int | None = 200


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A fault from its begin until it was healed. `hits`: what it touched, services and components by name."""

    begin: float
    end: float
    name: str
    hits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Evidence:
    """`observed`: rows of `runs` as a poller saw them, in the order of time. `history`: offsets by topic and partition.
    `read`: how far the sink says it has read, by topic and partition."""

    submissions: tuple[Submission, ...] = ()
    requests: tuple[RequestRecord, ...] = ()
    results: tuple[ResultRecord, ...] = ()
    published: tuple[ResultRecord, ...] = ()
    outcomes: tuple[OutcomeRow, ...] = ()
    runs: tuple[RunRow, ...] = ()
    observed: tuple[RunRow, ...] = ()
    deliveries: tuple[DeliveryRow, ...] = ()
    received: tuple[Received, ...] = ()
    faults: tuple[FaultSpan, ...] = ()
    history: frozenset[tuple[str, int, int]] = frozenset()
    read: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def clock_faults(self) -> list[FaultSpan]:
        """Return the faults that stepped the clocks of services."""
        return [fault for fault in self.faults if fault.name.startswith("clock")]

    def faults_within(self, begin: float, end: float, hits: frozenset[str]) -> int:
        """Return how many faults touched any of `hits` and overlap this time."""
        return sum(
            1 for fault in self.faults if fault.begin <= end and fault.end >= begin and (hits & fault.hits or not hits)
        )
