"""Apache Kafka as one process that is both broker and controller (KRaft), with its data in `<home>/kafka`.

docker-compose.kafka.yml has the same settings; a test compares them.
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

# The settings sluice needs of a single broker. In a cluster the replication factors differ.
BROKER_SETTINGS: Mapping[str, str] = {
    "auto.create.topics.enable": "false",  # topics are declared in code; a misspelt name must fail
    # KIP-848 groups: a killed worker's partitions are read again within 11 s (the default minimum is 45 s). The minimums are
    # lower still, so that tests can set shorter times for a group.
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "2000",
    # A new member gets its partitions with the next heartbeat; by default a second later, with the heartbeat after that.
    "group.consumer.assignment.interval.ms": "0",
    "group.initial.rebalance.delay.ms": "0",
    # Offsets must be kept longer than requests (14 days).
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
    # For one small machine: small index files and cleaner buffer, recovery on two cores.
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
        runtime = java.java(heap="1g", scratch=home.scratch, quick=False)
        logging = (f"-Dlog4j2.configurationFile={_LOGGING}", f"-Dsluice.log={log}")
        jars = [cache.path(artifact) for artifact in locked(self.name)]
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

    def answers(self, address: str) -> bool:
        return _answers(address)

    def _format(self, context: StartContext, jars: tuple[Path, ...], folder: Path) -> None:
        """Format the storage, once, with a new cluster id.

        Writes into a temporary folder and renames it when complete: the tool of a killed `up` may still be writing to another.
        """
        for unfinished in folder.glob("fresh-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        fresh = folder / f"fresh-{uuid.uuid4().hex}"
        fresh.mkdir()
        settings = fresh / "server.properties"
        settings.write_text(server_properties(fresh / "data", *self.ports.values()))
        runtime = java.java(heap="256m", scratch=context.home.scratch)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With "=", because an id may begin with a hyphen and would be parsed as an option.
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
    """Return the broker's complete configuration for these ports."""
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
    """Return whether the broker has joined its own cluster; it listens shortly before that."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        return bool(admin.list_topics(timeout=_PROBE_SECONDS).brokers)
    except KafkaException:
        return False
