"""The sink as a service: builds the parts, joins the group, and starts over when it was fenced or Kafka was away."""

from __future__ import annotations

import socket
import threading
import time

from connectors.store import Fenced, SinkStore
from schemas.errors import Unreachable
from streams import logs, wiring
from streams.engine_results import EngineResults
from streams.health.cached_probe import faults
from streams.health.loop_health import LoopHealth, tracked
from streams.health.report import Health, evaluate, without_share
from streams.log import kafka
from streams.log.port import LogProducer
from streams.log.probe import kafka_probe
from streams.log.retry import Stopped
from streams.notify.inline import InlineNotifier
from streams.settings import Settings
from streams.sink.commands import follow_commands
from streams.sink.dead_letters import DeadLetters
from streams.sink.decode import EventDecoder
from streams.sink.outcomes import OutcomePublisher
from streams.sink.process import tune_gc
from streams.sink.progress import follow_progress
from streams.sink.session import DeliveryHandoff, NoHandoff, Session
from streams.sink.topic_table import TopicTable, read_topics

log = logs.get("sink")

#: How often the broker is asked for topics that were made meanwhile.
TOPICS_S = 30.0


class Sink:
    """`notify`: deliver callbacks on a thread of this process, too."""

    def __init__(self, settings: Settings, *, notify: bool) -> None:
        self._settings = settings
        self._notifier = InlineNotifier(settings) if notify else None
        self._admin = kafka.admin(settings)
        self._producer = kafka.producer(settings)
        self._followers = (follow_progress(settings), follow_commands(settings))
        self._session: Session | None = None
        self._joined_at: float | None = None
        self._pulse = LoopHealth("sink's loop", settings.health_patience_s)
        self._needs = (kafka_probe(settings), wiring.database_probe(settings))

    def health(self, *, ask: bool = True) -> Health:
        """Ready when it has its partitions, or stands by for those of others; Kafka and Postgres answer."""
        session, now, joined_at = self._session, time.monotonic(), self._joined_at
        partitions = 0 if session is None else session.partitions
        joined_s = None if session is None or joined_at is None else now - joined_at
        share = without_share("the sink", partitions, joined_s)
        notifier, vitals = self._notifier, None if self._notifier is None else self._notifier.vitals
        return evaluate(
            [self._pulse, *(one.loop_health for one in self._followers), *(() if vitals is None else vitals.pulses)],
            now,
            dead=[*(one.dead for one in self._followers), None if notifier is None else notifier.dead],
            missing=[
                share,
                None if vitals is None else vitals.missing,
                *(faults(self._needs) if ask else []),
            ],
            details={
                "partitions": partitions,
                "standby": share is None and not partitions,
                "notify": None if vitals is None else vitals.details,
            },
        )

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; then everything read is stored, published and confirmed."""
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
        self._pulse.beat()
        store = tracked(wiring.sink_store(self._settings), self._pulse, "Postgres")
        session: Session | None = None
        try:
            self._session = session = self._join(store, stop)
            self._turn(session, stop)
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

    def _turn(self, session: Session, stop: threading.Event) -> None:
        look_at = time.monotonic() + TOPICS_S
        while not stop.is_set():
            self._pulse.beat()
            session.step()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + TOPICS_S
                session.follow(read_topics(self._admin, self._settings.topics))


def open_session(
    settings: Settings,
    store: SinkStore,
    producer: LogProducer,
    table: TopicTable,
    handover: DeliveryHandoff,
    stop: threading.Event,
) -> Session:
    """A session with all its parts, which joins the sink's group at its first step."""
    who = f"sink@{socket.gethostname()}"
    codec = wiring.codec(settings)
    session = Session(
        settings,
        store,
        EventDecoder(codec, table),
        OutcomePublisher(producer),
        DeadLetters(producer, settings.topics.dead_letters, who),
        EngineResults(codec, settings.topics, who),
        handover,
        stop,
    )
    session.subscribe(table)
    return session
