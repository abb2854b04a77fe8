"""Sends commands to the engine: cancel a job, pause and resume a processor. For Python programs and the command line.

*Requested* means delivered: every method returns once the broker has confirmed the commands. The effect shows in the job's
state (docs/job_states.md) and in the workers' acknowledgements (`sluice processors`). Imports neither a model nor a database
client.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType

from schemas.avsc import self_contained
from schemas.codec import Codec
from schemas.commands import CANCEL, PAUSE, RESUME, job_key, processor_key
from schemas.contract import known_processors, unknown_processor
from schemas.errors import UsageError
from schemas.ids import is_job_id
from schemas.records import Control
from streams import wiring
from streams.client.forks import ForkGuard
from streams.log import kafka
from streams.log.confirmed_producer import ConfirmedProducer
from streams.settings import Settings

#: The Kafka client gives up a command after `timeout_s`; its report then takes a moment to arrive.
_REPORT_S = 1.0


class CommandClient:
    """A context manager. Safe to share between threads.

    `by`: the requester as shown to users; None means user@host. `timeout_s`: seconds the broker has to confirm a command
    before it counts as not requested.
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
        self._guard = ForkGuard(self._producer)

    def __enter__(self) -> CommandClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def cancel(self, job_id: str, run: int = 0, reason: str = "") -> Control:
        """Request the cancel of one run of a job. Raises UsageError, Unreachable."""
        return self.cancel_many([(job_id, run)], reason)[0]

    def cancel_many(self, runs: Iterable[tuple[str, int]], reason: str = "", *, by: str | None = None) -> list[Control]:
        """Request the cancel of many runs, each given as job id and run. `by`: the requester, if not this client's.

        Raises UsageError before anything is sent, and Unreachable: some cancels may have been requested then, and
        requesting them again is safe.
        """
        now = datetime.now(UTC)
        commands = [Control(CANCEL, now, by or self._by, job_id=job, run=run, reason=reason) for job, run in runs]
        for command in commands:
            if not is_job_id(command.job_id or ""):
                raise UsageError(f"{command.job_id!r} is not a job id.", next_step="`sluice jobs` lists them.")
        self._publish([(job_key(command.job_id or "", command.run), command) for command in commands])
        return commands

    def pause(self, processor: str, reason: str = "") -> Control:
        """Ask every worker to start no more jobs of a processor; running jobs finish.

        Raises UnknownProcessor, Unreachable.
        """
        return self._send(PAUSE, processor, reason)

    def resume(self, processor: str, reason: str = "") -> Control:
        """End a pause. Raises UnknownProcessor, Unreachable."""
        return self._send(RESUME, processor, reason)

    def _send(self, action: str, processor: str, reason: str) -> Control:
        if processor not in known_processors():
            raise unknown_processor(processor)
        command = Control(action, datetime.now(UTC), self._by, processor=processor, reason=reason)
        self._publish([(processor_key(processor), command)])
        return command

    def _publish(self, commands: Iterable[tuple[bytes, Control]]) -> None:
        self._guard.refuse_inherited("CommandClient")
        records = ConfirmedProducer(self._producer, "command", self._timeout_s + _REPORT_S)
        for key, command in commands:
            records.produce(self._topic, self._codec.encode(command), key)
        records.flush()


def default_requester() -> str:
    """Return user@host of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = "?"
    return f"{user}@{socket.gethostname()}"
