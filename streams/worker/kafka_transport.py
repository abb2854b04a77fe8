"""The transport of a worker that reaches Kafka, the registry and, for leased jobs, the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from schemas.contract import AnyContract, contract
from schemas.errors import Unreachable
from schemas.states import Custody, Lane
from streams import wiring
from streams.admin.members import workers_of
from streams.health.loop_threads import LoopThreads
from streams.log import kafka
from streams.log.topic_ids import topic_ids
from streams.settings import Settings
from streams.worker.command_state import CommandState
from streams.worker.commands import CommandReader, PauseAcknowledger
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.job_source import JobSource
from streams.worker.kafka_source.source import KafkaSource
from streams.worker.lease_source.source import LeaseSource
from streams.worker.protocol import ChildConfig
from streams.worker.publisher import Publisher
from streams.worker.schema_ids import schema_ids
from streams.worker.supervision.supervisor import Supervisor
from streams.worker.transport import Facts, ResultPublisher


class KafkaTransport:
    """Implements `streams.worker.transport.Transport`."""

    def __init__(self, settings: Settings, threads: LoopThreads) -> None:
        self._settings = settings
        self._threads = threads
        self._probe = wiring.kafka_probe(settings)

    @cached_property
    def commands(self) -> CommandReader:
        return CommandReader(self._settings, wiring.codec(self._settings), CommandState(), self._threads)

    def facts(self, made: AnyContract) -> Facts:
        names = self._settings.topics
        topics = [names.requests(made.name, lane) for lane in Lane]
        found = topic_ids(self._settings, topics)
        return Facts([[name, topic_id] for name, topic_id in found.items()], schema_ids(self._settings, made))

    def publisher(
        self, config: ChildConfig, in_flight: InFlightJobs, too_large: Callable[[InFlightJob], None]
    ) -> ResultPublisher:
        producer, names = kafka.producer(self._settings), self._settings.topics
        return Publisher(producer, in_flight, names, config.processor, config.worker_id, too_large, self._threads)

    def acknowledger(self, config: ChildConfig, publisher: ResultPublisher) -> Callable[[], None]:
        return PauseAcknowledger(self._settings, config, self.commands.state, publisher).acknowledge

    def source(
        self,
        config: ChildConfig,
        ready: Mapping[str, Any],
        in_flight: InFlightJobs,
        supervisor: Supervisor,
        on_revoked: Callable[[Sequence[JobOrigin]], None],
    ) -> JobSource:
        settings = self._settings
        if settings.custody(contract(config.processor)) is Custody.OFFSET:
            return KafkaSource(settings, config, ready, in_flight, supervisor, on_revoked)
        open_store = partial(wiring.lease_store, settings)
        return LeaseSource(settings, config, ready, in_flight, supervisor, open_store, self._threads)

    def has_colleagues(self, processor: str) -> bool:
        if self._settings.custody(contract(processor)) is Custody.LEASE:
            return True  # nothing tells
        try:
            return bool(workers_of(kafka.admin(self._settings), self._settings, processor))
        except Unreachable:
            return True

    def fault(self) -> str | None:
        return self._probe.fault()
