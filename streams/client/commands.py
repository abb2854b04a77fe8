"""Orders to the engine: cancel a job, pause and resume a processor. The door for Python programs and for the command line.

*Requested* means delivered: every method returns once the broker has confirmed the orders. What became of them is told by the
job (docs/job_states.md) and by the workers' answers (`sluice processors`). Imports neither a model nor a database client.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.avsc import self_contained
from schemas.codec import Codec
from schemas.command_keys import job_key, processor_key
from schemas.contract import known_processors, unknown_processor
from schemas.errors import SluiceError, UsageError
from schemas.ids import is_job_id
from schemas.records import Control
from streams import wiring
from streams.log import kafka
from streams.settings import Settings

CANCEL, PAUSE, RESUME = "cancel", "pause", "resume"
#: A worker's answers to `PAUSE` and `RESUME`.
PAUSED, RESUMED = "paused", "resumed"

_Report = Callable[[KafkaError | None, Message], None]


class CommandClient:
    """A context manager. Safe to share between threads.

    `by` is who asks, as it is shown afterwards; None means user@host. `timeout_s` is how long the broker may take to confirm
    before an order counts as not given.
    """

    def __init__(self, settings: Settings, *, by: str | None = None, timeout_s: float = 15.0) -> None:
        self._topic = settings.topics.control
        self._by = default_requester() if by is None else by
        self._timeout_s = timeout_s
        self._open = ExitStack()
        codec = Codec(self._open.enter_context(wiring.open_registry(settings)))
        self._codec = codec.typed(
            Control, f"{self._topic}-value", self_contained("Control"), register=settings.auto_register
        )
        self._producer = kafka.producer(settings, **{"delivery.timeout.ms": int(timeout_s * 1000)})

    def __enter__(self) -> CommandClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def cancel(self, job_id: str, run: int = 0, reason: str = "") -> Control:
        """Ask for one run of a job to stop. Raises UsageError, Unreachable."""
        return self.cancel_many([(job_id, run)], reason)[0]

    def cancel_many(self, runs: Iterable[tuple[str, int]], reason: str = "") -> list[Control]:
        """Ask for many to stop, each a job id and a run. Raises UsageError, Unreachable; some may have been asked for then,
        and asking again does no harm."""
        now = datetime.now(UTC)
        orders = [Control(CANCEL, now, self._by, job_id=job, run=run, reason=reason) for job, run in runs]
        for order in orders:
            if not is_job_id(order.job_id or ""):
                raise UsageError(f"{order.job_id!r} is no job id.", next_step="`sluice jobs` lists them.")
        self._publish([(job_key(order.job_id or "", order.run), order) for order in orders])
        return orders

    def pause(self, processor: str, reason: str = "") -> Control:
        """Ask every worker to start no more jobs of a processor; what runs is finished.

        Raises UnknownProcessor, Unreachable.
        """
        return self._order(PAUSE, processor, reason)

    def resume(self, processor: str, reason: str = "") -> Control:
        """The end of a pause. Raises UnknownProcessor, Unreachable."""
        return self._order(RESUME, processor, reason)

    def _order(self, action: str, processor: str, reason: str) -> Control:
        if processor not in known_processors():
            raise unknown_processor(processor)
        order = Control(action, datetime.now(UTC), self._by, processor=processor, reason=reason)
        self._publish([(processor_key(processor), order)])
        return order

    def _publish(self, orders: Iterable[tuple[bytes, Control]]) -> None:
        failed: list[KafkaError] = []

        def report(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error)

        try:
            for key, order in orders:
                self._produce(key, self._codec.encode(order), report)
            left = self._producer.flush(self._timeout_s + 1.0)
        except KafkaException as error:
            raise kafka.translate(error, f"publishing to {self._topic}") from error
        if failed:
            raise kafka.translate(failed[0], f"publishing {len(failed)} orders to {self._topic}")
        if left:
            raise SluiceError(f"{left} orders were not confirmed within {self._timeout_s:.0f} s.")

    def _produce(self, key: bytes, value: bytes, report: _Report) -> None:
        while True:
            try:
                return self._producer.produce(self._topic, value, key, on_delivery=report)
            except BufferError:  # the queue is full: reports make room
                self._producer.poll(0.1)


def default_requester() -> str:
    """user@host of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = "?"
    return f"{user}@{socket.gethostname()}"
