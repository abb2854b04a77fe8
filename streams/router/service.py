"""The router as a service: waits for Kafka, starts the stream, and answers for its health."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from confluent_kafka import KafkaException

from schemas.codec import Codec
from schemas.errors import SluiceError, StartupError, UsageError
from streams import logs, wiring
from streams.admin.group_offsets import SeededGroup, router_group, seed_group
from streams.health.loop_health import LoopHealth, tracked
from streams.health.loop_threads import LoopThreads
from streams.health.report import Health, evaluate
from streams.log import kafka
from streams.log.reconnect import Stopped, until_reachable
from streams.router.app import RouterFlow
from streams.router.checks import router_rules
from streams.router.credentials import credentials
from streams.router.driver import log_with_structlog
from streams.router.handler import Handler
from streams.router.publisher import RoutedPublisher
from streams.router.routing import Routing
from streams.router.rules import Rules
from streams.settings import Settings

log = logs.get("router")

TIMEOUT_S = 15.0


class Router:
    """Raises UsageError, StartupError: the rules, or the settings of Kafka, can't be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._routing = Routing(_rules(settings))
        self._group = router_group(settings, self._routing.rules)
        if settings.bootstrap.startswith("memory:"):
            raise UsageError(
                "The router reads a real Kafka only; KAFKA_BOOTSTRAP_SERVERS names a log in memory.",
                next_step="Test rules with `streams.router.routing.Routing` (docs/routing.md), or against `sluice up`.",
            )
        credentials(settings.kafka_config)
        self._kafka = wiring.kafka_probe(settings)
        self._loops = LoopThreads("router", log)
        self._loop = LoopHealth("router loop", settings.health_patience_s)
        self._publishing = LoopHealth("publishing")
        self._handler: Handler | None = None
        self._flow: RouterFlow | None = None

    def health(self, *, ask: bool = True) -> Health:
        """Return the health: ready once it has its partitions and the joins' state, and while Kafka answers."""
        flow = self._flow
        waits = (
            None if flow is not None and flow.ready else "the router has no partitions yet, or reads the joins' state"
        )
        missing = [waits, self._kafka.fault() if ask else None]
        return evaluate(
            [self._loop, self._publishing],
            time.monotonic(),
            missing=missing,
            dead=self._loops.dead,
            details=self._details(),
        )

    def run(self, stop: threading.Event) -> None:
        """Route until `stop` is set, then finish what is in work. Raises LoopDied, StartupError."""
        log_with_structlog()
        try:
            until_reachable(self._prepare, stop, log, "dependency_unavailable")
            with member_name(self._settings, self._group) as member, asyncio.Runner() as runner:
                runner.run(self._route(member, stop))
        except Stopped:
            return
        except (UsageError, StartupError):
            raise
        except Exception as error:  # noqa: BLE001 - noted, and raised below
            self._loops.died("router", error.__cause__ or error)
        self._loops.raise_if_dead()

    async def _route(self, member: str, stop: threading.Event) -> None:
        settings = self._settings
        with ExitStack() as opened:
            codec = Codec(opened.enter_context(wiring.open_registry(settings)))
            publisher = RoutedPublisher(settings, f"router@{socket.gethostname()}")
            opened.callback(publisher.close)
            flow = RouterFlow(settings, self._group, member, bool(self._routing.rules.join), self._loop)
            handler = Handler(settings, self._routing, tracked(publisher, self._publishing, "Kafka"), flow.state, codec)
            self._handler, self._flow = handler, flow
            await flow.run(handler, stop)

    def _prepare(self) -> None:
        """Commit the group's first offsets where it has none. Raises Unreachable, StartupError: a topic is missing."""
        partitions = self._partitions()
        for change in seed_group(self._settings, self._group, partitions):
            log.info("offsets_seeded", group=change.target, detail=change.detail, kind=str(change.kind))

    def _partitions(self) -> Mapping[str, int]:
        names, rules = self._settings.topics, self._routing.rules
        jobs = [names.requests(s.processor, s.lane) for rule in (*rules.upload, *rules.join) for s in rule.submit]
        needed = [*self._group.topics, *([names.join_state] if rules.join else []), *jobs, names.dead_letters]
        try:
            found = kafka.admin(self._settings).list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise kafka.translate(error, "looking for the router's topics") from error
        if missing := [topic for topic in needed if topic not in found]:
            raise StartupError(
                f"The router needs the topic {missing[0]!r}, which does not exist.",
                next_step="Run `sluice topics apply` with the same SLUICE_ROUTER_RULES and SLUICE_PROCESSORS.",
            )
        counts = {topic: len(found[topic].partitions) for topic in needed}
        if rules.join and counts[names.join_parts] != counts[names.join_state]:
            raise StartupError(
                f"{names.join_parts} and {names.join_state} have different numbers of partitions.",
                next_step="Delete both and run `sluice topics apply`; joins that wait start again.",
            )
        return {topic: counts[topic] for topic in self._group.topics}

    def _details(self) -> Mapping[str, Any]:
        handler, flow = self._handler, self._flow
        counts = ("uploads", "uploads_routed", "outcomes", "jobs", "joins", "refused", "unusable", "parts_without_rule")
        return {
            "rules": len(self._routing.rules.upload) + len(self._routing.rules.join),
            "partitions": 0 if flow is None else flow.partitions,
            "joins_waiting": 0 if handler is None else len(handler.waiting),
            **{name: 0 if handler is None else handler.counts[name] for name in counts},
        }


def _rules(settings: Settings) -> Rules:
    rules = router_rules(settings)
    if rules is None:
        raise UsageError(
            "The router has no rules: SLUICE_ROUTER_RULES is not set.",
            next_step="Set it to a TOML file; docs/routing.md has examples.",
        )
    return rules


@contextmanager
def member_name(settings: Settings, group: SeededGroup) -> Iterator[str]:
    """Yield a name for this router within its group, which it keeps when it is started again after a crash.

    So Kafka gives it its partitions back at once, instead of after the session timeout. Each of several routers of one home
    has a name of its own: the kernel drops a lock with its process. Another set of topics is another name, because a member
    that comes back under its name gets its old assignment.
    """
    folder = settings.home / "run" / "router"
    folder.mkdir(parents=True, exist_ok=True)
    place = f"{settings.home.absolute()}\0{group.name}\0{' '.join(group.topics)}"
    tail = hashlib.sha256(place.encode()).hexdigest()[:12]
    host = re.sub(r"[^a-zA-Z0-9.-]", "-", socket.gethostname())[:100]
    for number in range(1000):
        with (folder / f"{number}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"{host}-{tail}-{number}"
            return
    raise SluiceError("A thousand routers run with this SLUICE_HOME.")
