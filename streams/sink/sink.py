"""The sink as a service: builds the parts, joins the group, and starts a new session when it was fenced or lost Kafka."""

from __future__ import annotations

import socket
import threading
import time

from connectors.sink_store import Fenced, SinkStore
from schemas.errors import Unreachable
from streams import logs, wiring
from streams.engine_results import EngineResults
from streams.health.cached_probe import faults
from streams.health.loop_health import LoopHealth, tracked
from streams.health.report import Health, evaluate, without_share
from streams.log import kafka
from streams.log.port import LogProducer
from streams.log.reconnect import Stopped
from streams.notify.inline import InlineNotifier
from streams.process import tune_gc
from streams.settings import Settings
from streams.sink.commands import follow_commands
from streams.sink.dead_letters import DeadLetters
from streams.sink.decode import EventDecoder
from streams.sink.handoff import DeliveryHandoff, NoHandoff
from streams.sink.outcomes import OutcomePublisher
from streams.sink.progress import follow_progress
from streams.sink.session import Session
from streams.sink.topic_table import TopicTable, read_topics

log = logs.get("sink")

#: Seconds between two looks for topics that were created or deleted.
TOPICS_S = 30.0


class Sink:
    """`notify`: also deliver callbacks, on a thread of this process."""

    def __init__(self, settings: Settings, *, notify: bool) -> None:
        self._settings = settings
        self._notifier = InlineNotifier(settings) if notify else None
        self._admin = kafka.admin(settings)
        self._producer = kafka.producer(settings)
        self._followers = (follow_progress(settings), follow_commands(settings))
        self._session: Session | None = None
        self._joined_at: float | None = None
        self._loop_health = LoopHealth("sink's loop", settings.health_patience_s)
        self._dependencies = (wiring.kafka_probe(settings), wiring.database_probe(settings))

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready if it has partitions (or others have them all), and Kafka and Postgres answer."""
        session, now, joined_at = self._session, time.monotonic(), self._joined_at
        partitions = 0 if session is None else session.partitions
        joined_s = None if session is None or joined_at is None else now - joined_at
        share = without_share("the sink", partitions, joined_s)
        notifier, notifier_health = self._notifier, None if self._notifier is None else self._notifier.health
        return evaluate(
            [
                self._loop_health,
                *(follower.loop_health for follower in self._followers),
                *(() if notifier_health is None else notifier_health.loops),
            ],
            now,
            dead=[*(follower.dead for follower in self._followers), None if notifier is None else notifier.dead],
            missing=[
                share,
                None if notifier_health is None else notifier_health.missing,
                *(faults(self._dependencies) if ask else []),
            ],
            details={
                "partitions": partitions,
                "standby": share is None and not partitions,
                "notify": None if notifier_health is None else notifier_health.details,
            },
        )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then store and publish everything that was read."""
        tune_gc()
        for follower in self._followers:
            follower.start()
        if self._notifier is not None:
            self._notifier.start()
        try:
            while not stop.is_set():
                self._one_session(stop)
        finally:
            for follower in self._followers:
                follower.stop()
            if self._notifier is not None:
                self._notifier.stop()

    def _one_session(self, stop: threading.Event) -> None:
        self._loop_health.beat()
        store = tracked(wiring.sink_store(self._settings), self._loop_health, "Postgres")
        session: Session | None = None
        try:
            self._session = session = self._join(store, stop)
            self._loop(session, stop)
            session.settle()
        except Stopped:
            log.warning("stopped_with_unsaved_batch")
        except Fenced:
            log.warning("fenced", next="joins the group again")
        except Unreachable as error:
            log.warning("session_restarted", component="sink", reason=str(error))
            stop.wait(1.0)
        finally:
            self._session = None
            if session is not None:
                session.close()
            store.close()
            if self._notifier is not None:
                self._notifier.reconcile()

    def _join(self, store: SinkStore, stop: threading.Event) -> Session:
        table = read_topics(self._admin, self._settings.topics)
        session = open_session(self._settings, store, self._producer, table, self._notifier or NoHandoff(), stop)
        self._joined_at = time.monotonic()
        return session

    def _loop(self, session: Session, stop: threading.Event) -> None:
        topics_due_at = time.monotonic() + TOPICS_S
        while not stop.is_set():
            self._loop_health.beat()
            session.step()
            if time.monotonic() >= topics_due_at:
                topics_due_at = time.monotonic() + TOPICS_S
                session.follow(read_topics(self._admin, self._settings.topics))


def open_session(
    settings: Settings,
    store: SinkStore,
    producer: LogProducer,
    table: TopicTable,
    handoff: DeliveryHandoff,
    stop: threading.Event,
) -> Session:
    """Build a session with all its parts. It joins the sink's group at its first step."""
    worker_id = f"sink@{socket.gethostname()}"
    codec = wiring.codec(settings)
    session = Session(
        settings,
        store,
        EventDecoder(codec, table),
        OutcomePublisher(producer),
        DeadLetters(producer, settings.topics.dead_letters, worker_id),
        EngineResults(codec, settings.topics, worker_id),
        handoff,
        stop,
    )
    session.subscribe(table)
    return session
