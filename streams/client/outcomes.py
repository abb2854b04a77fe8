"""Waits for the outcomes of jobs: reads `outcomes.<processor>` from where the topic ended before the submit.

Joins no group and commits nothing, so that any number of programs may wait at once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from confluent_kafka import Message, TopicPartition

from schemas.codec import Codec
from schemas.contract import AnyContract
from schemas.envelope import result_of
from schemas.errors import ErrorCode, ExitCode
from schemas.headers import JOB
from schemas.records import Coordinates, Result
from schemas.states import Disposition, Mode, State
from streams import wiring
from streams.client.forks import ForkGuard
from streams.log import kafka
from streams.log.polling import poll_batch
from streams.log.watermarks import watermarks
from streams.settings import Settings

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job's winning result, typed, and its place in the log."""

    result: Result[Any]
    coordinates: Coordinates

    @property
    def job_id(self) -> str:
        return self.result.header.job_id

    @property
    def state(self) -> State:
        return final_state(self.result)

    @property
    def exit_code(self) -> int:
        return exit_code_of(self.state)


class OutcomeWaiter:
    """Sees the outcomes published after it is opened, so open it before submitting. A context manager; for one thread."""

    def __init__(self, settings: Settings, contract: AnyContract) -> None:
        self._contract = contract
        self._open = ExitStack()
        self._codec = Codec(self._open.enter_context(wiring.open_registry(settings)))
        self._topic = settings.topics.outcomes(contract.name)
        self._consumer = kafka.reader(settings, **{"fetch.wait.max.ms": 10})
        self._guard = ForkGuard(self._consumer)
        self._open.callback(self._consumer.close)
        try:
            ends = watermarks(self._consumer, self._topic)
            self._consumer.assign([TopicPartition(self._topic, number, end) for number, (_, end) in ends.items()])
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> OutcomeWaiter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self._guard.inherited:
            self._open.close()

    def wait(self, job_ids: Collection[str], timeout_s: float | None = None) -> Iterator[Outcome]:
        """Yield each job's outcome once, as it comes; end when all are there or after `timeout_s` (None: no limit)."""
        self._guard.refuse_inherited("OutcomeWaiter")
        left = set(job_ids)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while left:
            wait_s = 0.5 if until is None else min(0.5, until - time.monotonic())
            if wait_s <= 0:
                return
            for message in poll_batch(self._consumer, _BATCH, wait_s):
                outcome = self._outcome(message, left)
                if outcome is not None:
                    left.discard(outcome.job_id)
                    yield outcome

    def _outcome(self, message: Message, wanted: set[str]) -> Outcome | None:
        if (error := message.error()) is not None:
            raise kafka.translate(error, f"reading {self._topic}")
        value = message.value()
        if value is None or _job_of(message) not in wanted:
            return None
        result = result_of(self._contract, self._codec.decode(value))
        if result.header.mode == Mode.SHADOW:
            return None
        return Outcome(result, Coordinates(self._topic, int(message.partition() or 0), int(message.offset() or 0)))


def final_state(result: Result[Any]) -> State:
    """Return the final state of a job with this winning result."""
    info = result.result
    if info.disposition == Disposition.SUCCEEDED:
        return State.COMPLETED
    if info.disposition == Disposition.CANCELLED:
        return State.CANCELLED
    if info.error is not None and info.error.code == ErrorCode.DEADLINE_EXCEEDED:
        return State.EXPIRED
    return State.FAILED


def exit_code_of(state: State) -> int:
    """Return the exit status of a command for a job in this final state (docs/operations.md)."""
    if state is State.COMPLETED:
        return ExitCode.OK
    return ExitCode.CANCELLED_OR_EXPIRED if state in (State.CANCELLED, State.EXPIRED) else ExitCode.JOB_FAILED


def _job_of(message: Message) -> str:
    """Return the job id from the key `job:run`, else from the header."""
    key = message.key()
    if key:
        return key.decode("utf-8", "replace").partition(":")[0]
    value = dict(message.headers() or []).get(JOB) or b""
    return value.decode() if isinstance(value, bytes) else str(value)
