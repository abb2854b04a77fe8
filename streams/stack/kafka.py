"""Apache Kafka as one process that is broker and controller (KRaft), data in `<home>/kafka`.

The same settings stand in docker-compose.kafka.yml; a test compares them.
"""

from __future__ import annotations

import base64
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from streams.stack import java
from streams.stack.artifacts import KAFKA_VERSION, locked
from streams.stack.component import Home, StartContext
from streams.stack.downloads import Cache
from streams.stack.events import EventKind
from streams.stack.ports import HOST
from streams.stack.supervise import ServiceSpec

CONTROLLER = "kafka-controller"

# What sluice wants of a broker wherever it runs alone. In a cluster the replication factors differ.
BROKER_SETTINGS: Mapping[str, str] = {
    "auto.create.topics.enable": "false",  # topics are declared, and a typo must fail
    # KIP-848 groups: a killed worker's partitions are read again within 11 s (the default floor is 45 s). The floors are lower
    # still, so that a group may be given shorter times (tests do).
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "2000",
    # Who joins is given its share with the next heartbeat, not a second later and then with the next but one.
    "group.consumer.assignment.interval.ms": "0",
    "group.initial.rebalance.delay.ms": "0",
    # Offsets must outlive the requests they point into (14 days).
    "offsets.retention.minutes": "43200",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "log.retention.check.interval.ms": "60000",
    # A broker for one machine: small index files and cleaner buffer, recovery on both cores.
    "log.index.size.max.bytes": "2097152",
    "log.cleaner.dedupe.buffer.size": "33554432",
    "num.recovery.threads.per.data.dir": "2",
}
_LOGGING = Path(__file__).with_name("kafka-log4j2.properties")
_PROBE_SECONDS = 1.0


class Kafka:
    name = "kafka"
    version = KAFKA_VERSION
    ports: Mapping[str, int] = {name: 9092, CONTROLLER: 9093}

    def prepare(self, context: StartContext) -> None:
        jars = context.cache.jars(self.name, locked(self.name), context.report, context.check)
        folder = context.home.data(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "data" / "meta.properties").exists():
            context.report(EventKind.STARTING, self.name, "formatting the broker's storage")
            self._format(context, jars, folder)

    def service(self, home: Home, ports: Mapping[str, int], cache: Cache) -> ServiceSpec:
        folder = home.data(self.name)
        address = f"{HOST}:{ports[self.name]}"
        settings = folder / "server.properties"
        settings.write_text(server_properties(folder / "data", ports[self.name], ports[CONTROLLER]))
        log = home.log(self.name)
        runtime = java.java(heap="1g", scratch=home.scratch, light=True)
        logging = (f"-Dlog4j2.configurationFile={_LOGGING}", f"-Dsluice.log={log}")
        jars = [cache.place(artifact) for artifact in locked(self.name)]
        return ServiceSpec(
            name=self.name,
            argv=(*runtime, *logging, "-cp", _class_path(jars), "kafka.Kafka", str(settings)),
            env=java.environment(),
            cwd=folder,
            log=log,
            ports=tuple(ports.values()),
            ready=lambda: _answers(address),
            facts={"version": self.version, "address": address},
        )

    def _format(self, context: StartContext, jars: tuple[Path, ...], folder: Path) -> None:
        """Once: the cluster id is drawn here and kept in the data from then on.

        In a folder of its own that takes its name when it is whole: the tool of an `up` that was killed may still be writing.
        """
        for left in folder.glob("fresh-*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = folder / f"fresh-{uuid.uuid4().hex}"
        fresh.mkdir()
        settings = fresh / "server.properties"
        settings.write_text(server_properties(fresh / "data", *self.ports.values()))
        runtime = java.java(heap="256m", scratch=context.home.scratch, light=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With "=": an id may begin with a hyphen, and would be taken for an option.
        tool = (
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            f"--cluster-id={cluster}",
            "-c",
            str(settings),
        )
        context.run_tool((*runtime, "-cp", _class_path(jars), *tool), env=java.environment(), cwd=fresh)
        if (
            folder / "data"
        ).exists():  # no broker starts on it without meta.properties, but it may hold records: keep it
            (folder / "data").rename(folder / f"data-without-meta-{fresh.name}")
        (fresh / "data").rename(folder / "data")
        shutil.rmtree(fresh)


def server_properties(data: Path, port: int, controller: int) -> str:
    """The broker's whole configuration, for these ports."""
    own = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(data).replace("\\", "\\\\"),
    }
    return "".join(f"{name}={value}\n" for name, value in {**own, **BROKER_SETTINGS}.items())


def _class_path(jars: list[Path] | tuple[Path, ...]) -> str:
    return ":".join(str(jar) for jar in jars)


def _answers(address: str) -> bool:
    """Whether the broker has joined its own cluster: it listens a little before that."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        return bool(admin.list_topics(timeout=_PROBE_SECONDS).brokers)
    except KafkaException:
        return False
