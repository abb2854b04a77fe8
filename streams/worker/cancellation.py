"""Where one engine takes orders: cancels of jobs that come and of jobs it holds, and the pauses of its processor.

Cancels are matched by Kafka's headers, in batches: the ledger is searched once for all that have come since the last look.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from schemas.avsc import self_contained
from schemas.commands import PAUSED, RESUMED, acknowledgement_key
from schemas.errors import ErrorCode
from schemas.records import Control
from streams import logs, wiring
from streams.settings import Settings
from streams.worker.command_state import CommandState, PauseState, command_key
from streams.worker.in_flight import InFlightJob, InFlightJobs
from streams.worker.ordering import OrderedJobs
from streams.worker.protocol import ChildConfig, Flag
from streams.worker.publisher import Publisher
from streams.worker.supervision.supervisor import Supervisor

log = logs.get("worker")

#: A search of the whole ledger costs milliseconds; cancels by the thousand share one.
LOOK_EVERY_S = 0.02


class Cancellations:
    """Used from the engine's thread."""

    def __init__(self, processor: str, orders: CommandState, ledger: InFlightJobs, supervisor: Supervisor) -> None:
        self._processor = processor
        self._orders = orders
        self._mailbox = orders.mailbox()
        self._next_look = 0.0
        self._ledger = ledger
        self._supervisor = supervisor
        #: Where ordered jobs are parked; None for a processor without order.
        self.turns: OrderedJobs | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing more is to be begun."""
        told = self._orders.of(self._processor)
        return told is not None and told.paused

    def call_off(self, jobs: Iterable[InFlightJob]) -> list[int]:
        """Mark those of the jobs that are cancelled: they are answered, not run. Their slots."""
        if not self._orders.any_cancelled:
            return []
        cancelled = [held for held in jobs if self._orders.is_cancelled(command_key(held.message))]
        for held in cancelled:
            _sentence(held)
        return [held.slot for held in cancelled]

    def look(self) -> None:
        """Call off what is held and has been cancelled since the last look."""
        if not self._mailbox or (now := time.monotonic()) < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        wanted = {self._mailbox.popleft() for _ in range(len(self._mailbox))}
        aside = [held for held in self._ledger.set_aside() if command_key(held.message) in wanted]
        slots = [held.slot for held in self._ledger.unanswered() if command_key(held.message) in wanted]
        for held in aside:  # what is withheld is answered when it may be given
            _sentence(held)
        if self.turns is not None:
            parked = [held for held in aside if held.parked]
            for held in parked:
                self.turns.withdraw(held)
                _sentence(held)
            self._supervisor.send(parked)
            slots += [held.slot for held in parked]  # so that they are answered while the device works on
        self._supervisor.cancel(slots)
        if slots or aside:
            log.info("cancelled", processor=self._processor, asked=len(slots), withheld=len(aside))


class PauseAcknowledger:
    """Answers each pause and resume on the control topic, once it is in force."""

    def __init__(self, settings: Settings, config: ChildConfig, orders: CommandState, publisher: Publisher) -> None:
        self._config = config
        self._orders = orders
        self._publisher = publisher
        self._topic = settings.topics.control
        codec = wiring.codec(settings, config.schema_ids)
        self._typed = codec.typed(Control, f"{self._topic}-value", self_contained("Control"))
        # One that was resumed before we began needs no answer.
        told = orders.of(config.processor)
        self._answered: PauseState | None = None if told is None or told.paused else told

    def answer(self) -> None:
        """If there is a word that was not answered."""
        told = self._orders.of(self._config.processor)
        if told is None or told is self._answered:
            return
        self._answered = told
        processor, worker = self._config.processor, self._config.worker_id
        action = PAUSED if told.paused else RESUMED
        answer = Control(action, datetime.now(UTC), worker, processor=processor, reason=told.reason)
        self._publisher.tell(self._topic, acknowledgement_key(processor, worker), self._typed.encode(answer))
        log.info(action, processor=processor)


def _sentence(held: InFlightJob) -> None:
    if not held.flags & Flag.REJECTED:
        held.flags |= Flag.REJECTED
        held.error_code = ErrorCode.CANCELLED.encode()
