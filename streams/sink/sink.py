"""The sink as a service: builds the parts, joins the group, and starts a new session when one ends with an error."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

from connectors.sink_store import Fenced, SinkStore
from schemas.codec import Codec
from schemas.errors import SluiceError, Unreachable
from streams import logs, wiring
from streams.engine_results import EngineResults
from streams.health.cached_probe import faults
from streams.health.loop_health import LoopHealth, tracked
from streams.health.loop_threads import LoopThreads, frames_of
from streams.health.report import Health, evaluate, without_share
from streams.log import kafka
from streams.log.port import LogAdmin, LogProducer
from streams.log.reconnect import Stopped
from streams.notify.inline import InlineNotifier
from streams.notify.service import ProgressRule, progress_rule
from streams.process import tune_gc
from streams.settings import Settings
from streams.sink.commands import follow_commands
from streams.sink.dead_letters import DeadLetters
from streams.sink.decode import EventDecoder
from streams.sink.handoff import DeliveryHandoff, NoHandoff
from streams.sink.outcomes import OutcomePublisher
from streams.sink.progress import follow_progress
from streams.sink.schema_fetcher import SchemaFetcher
from streams.sink.session import Session
from streams.sink.suspects import Suspects
from streams.sink.topic_table import TopicTable, read_topics

log = logs.get("sink")

#: Seconds between two looks for topics that were created or deleted.
TOPICS_S = 30.0
#: Outcomes wait so long for others to share a request to the broker with. Callbacks do not wait for them.
OUTCOMES_LINGER_MS = 5
#: Seconds between a session that failed and the next one.
RESTART_S = 1.0


class Sink:
    """`notify`: also deliver callbacks, on a thread of this process."""

    def __init__(self, settings: Settings, *, notify: bool) -> None:
        self._settings = settings
        self._progress_rule = progress_rule(settings)
        self._loops = LoopThreads("sink", log)
        self._notifier = InlineNotifier(settings) if notify else None
        self._admin = kafka.admin(settings)
        self._schemas = SchemaFetcher(wiring.registry(settings))
        self._codec = Codec(self._schemas)
        self._followers = (follow_progress(settings, self._codec), follow_commands(settings))
        self._suspects = Suspects()
        self._session: Session | None = None
        self._joined_at: float | None = None
        self._gone = self._made_again = 0
        self._table = TopicTable({})
        self._loop_health = LoopHealth("sink's loop", settings.health_patience_s)
        self._dependencies = (wiring.kafka_probe(settings), wiring.database_probe(settings))

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready if it has partitions (or others have them all), Kafka and Postgres answer, and no record
        waits for the registry."""
        session, now, joined_at = self._session, time.monotonic(), self._joined_at
        partitions, waiting = (0, 0) if session is None else (session.partitions, session.waiting)
        joined_s = None if session is None or joined_at is None else now - joined_at
        share = without_share("the sink", partitions, joined_s)
        notifier_health = None if self._notifier is None else self._notifier.health
        return evaluate(
            [
                self._loop_health,
                *(follower.loop_health for follower in self._followers),
                *(() if notifier_health is None else notifier_health.loops),
            ],
            now,
            dead=self._loops.dead,
            missing=[
                share,
                None if not waiting else f"{waiting} records wait for the schema registry",
                None if notifier_health is None else notifier_health.missing,
                *(faults(self._dependencies) if ask else []),
            ],
            details={
                "partitions": partitions,
                "standby": share is None and not partitions,
                "waiting_for_schemas": waiting,
                "unread_records_gone": self._gone + (0 if session is None else session.assignment.gone),
                "topics_made_again": self._made_again,
                "notify": None if notifier_health is None else notifier_health.details,
            },
        )

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then store and publish everything that was read. Raises LoopDied."""
        tune_gc()
        self._loops.run_until(stop)
        with ExitStack() as parts:
            self._schemas.start(self._loops)
            parts.callback(self._schemas.stop)
            for follower in self._followers:
                follower.start(self._loops)
                parts.callback(follower.stop)
            if self._notifier is not None:
                self._notifier.start(self._loops)
                parts.callback(self._notifier.stop)
            while not stop.is_set():
                self._one_session(stop)
        self._loops.raise_if_dead()

    def _one_session(self, stop: threading.Event) -> None:
        self._loop_health.beat()
        try:
            with ExitStack() as parts:
                session = self._join(parts, stop)
                self._loop(session, stop)
                session.settle()
        except Stopped:
            log.warning("stopped_with_unsaved_batch")
        except Fenced:
            log.warning("fenced", next="joins the group again")
            stop.wait(RESTART_S)
        except SluiceError as error:
            self._loop_health.fault = error.message
            log.warning("session_restarted", component="sink", reason=str(error))
            stop.wait(RESTART_S)
        except Exception as error:  # noqa: BLE001 - nothing is lost: the next session reads the same records again
            self._suspects.failed()
            self._loop_health.fault = (
                f"the sink's last session failed by {type(error).__name__}; the next one tries again"
            )
            log.error("session_failed", component="sink", reason=type(error).__name__, frames=frames_of(error))
            stop.wait(RESTART_S)

    def _join(self, parts: ExitStack, stop: threading.Event) -> Session:
        """Build a session. `parts` closes all of it, even if closing one part fails."""
        if self._notifier is not None:
            parts.callback(self._notifier.reconcile)
        store = tracked(wiring.sink_store(self._settings), self._loop_health, "Postgres")
        parts.callback(store.close)
        table = self._table = self._compared(read_topics(self._admin, self._settings))
        # Asked before the group is joined: without its store a member would only hold partitions, and up every rebalance.
        store.learn_topics({topic.topic_id: topic.name for topic in table.topics.values()})
        # A new one: the last may have failed for good.
        producer = kafka.producer(self._settings, **{"linger.ms": OUTCOMES_LINGER_MS})
        parts.callback(_give_up, producer)
        session = open_session(
            self._settings,
            store,
            producer,
            self._notifier or NoHandoff(),
            stop,
            admin=self._admin,
            codec=self._codec,
            suspects=self._suspects,
            progress_rule=self._progress_rule,
        )
        parts.callback(session.close)
        parts.callback(self._ended)
        self._joined_at, self._session = time.monotonic(), session
        return session

    def _compared(self, table: TopicTable) -> TopicTable:
        """Return the table; name the topics that were made again since the last session began."""
        for name in self._table.made_again(table):
            log.error("topic_made_again", topic=name, next="its records are read from their beginning")
            self._made_again += 1
        return table

    def _ended(self) -> None:
        if self._session is not None:
            self._gone += self._session.assignment.gone
        self._session = None

    def _loop(self, session: Session, stop: threading.Event) -> None:
        topics_due_at = time.monotonic() + TOPICS_S
        while not stop.is_set():
            self._loop_health.beat()
            session.step()
            if time.monotonic() >= topics_due_at:
                topics_due_at = time.monotonic() + TOPICS_S
                self._follow_topics(session)

    def _follow_topics(self, session: Session) -> None:
        try:
            table = read_topics(self._admin, self._settings)
        except Unreachable as error:  # what was read stays with this session, which goes on once Kafka answers
            log.warning("topics_not_listed", reason=str(error))
        else:
            session.follow(table)


def open_session(
    settings: Settings,
    store: SinkStore,
    producer: LogProducer,
    handoff: DeliveryHandoff,
    stop: threading.Event,
    *,
    admin: LogAdmin | None = None,
    codec: Codec | None = None,
    suspects: Suspects | None = None,
    progress_rule: ProgressRule | None = None,
) -> Session:
    """Build a session with all its parts. It joins the sink's group at its first step. Raises Unreachable."""
    worker_id = f"sink@{socket.gethostname()}"
    codec = codec or wiring.codec(settings)
    listing = admin or kafka.admin(settings)
    table = read_topics(listing, settings)
    session = Session(
        settings,
        store,
        EventDecoder(codec, table),
        OutcomePublisher(producer),
        DeadLetters(producer, settings.topics.dead_letters, worker_id),
        EngineResults(codec, settings.topics, worker_id),
        handoff,
        stop,
        lambda: read_topics(listing, settings),
        suspects or Suspects(),
        progress_rule,
    )
    session.subscribe(table)
    return session


def _give_up(producer: LogProducer) -> None:
    """Give up the outcomes that are not confirmed: the next session reads and publishes them again."""
    producer.purge()
    producer.poll(0)
