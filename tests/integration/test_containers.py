"""The test stack in Docker, against a recorded engine whose containers are the services of the running stack.

No engine runs here, so what an engine is asked for is checked, and that the addresses made of its answers work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.container import Reaper

from schemas.errors import StartupError
from streams.stack.kafka import BROKER_SETTINGS
from tests.harness.containers import container_stack
from tests.harness.engine_api import Engine, recorded_engine, recorded_ryuk
from tests.harness.source_tree import ROOT

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())["services"]
COMPONENTS = ("kafka", "registry", "postgres")


@contextmanager
def engine_in_front_of(stack: dict[str, str]) -> Iterator[Engine]:
    """An engine whose containers publish the ports of the running stack, and that removes them if this process dies (Ryuk)."""
    with pytest.MonkeyPatch.context() as patch, recorded_ryuk() as (ryuk, filters):
        ports = {
            "kafka": port_of(stack["KAFKA_BOOTSTRAP_SERVERS"]),
            "registry": port_of(stack["SCHEMA_REGISTRY_URL"]),
            "postgres": port_of(stack["DATABASE_URL"]),
            "ryuk": ryuk,
        }
        for name in ("_instance", "_container", "_socket"):
            patch.setattr(Reaper, name, None)  # a run in Docker has one of its own, which must live on
        # Within a container, testcontainers would ask the engine for the gateway of the container's network.
        patch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.docker_host)
        with recorded_engine(ports, log="it is Started!\n") as engine:
            patch.setenv("DOCKER_HOST", engine.address)
            patch.setenv("NO_PROXY", "127.0.0.1")
            try:
                yield engine
            finally:
                Reaper.delete_instance()
        assert engine.unknown == []
    assert [re.sub(r"=[0-9a-f-]{36}$", "", line) for line in filters] == ["label=org.testcontainers.session-id"]


@pytest.fixture(scope="module")
def password(stack: dict[str, str]) -> str:
    return urlsplit(stack["DATABASE_URL"]).password or ""


@pytest.fixture(scope="module")
def engine_and_addresses(stack: dict[str, str], password: str) -> Iterator[tuple[Engine, dict[str, str]]]:
    with engine_in_front_of(stack) as engine:
        with container_stack(password) as addresses:
            yield engine, addresses
        assert all(engine.of(name).removed for name in COMPONENTS)


@pytest.fixture
def engine(engine_and_addresses: tuple[Engine, dict[str, str]]) -> Engine:
    return engine_and_addresses[0]


@pytest.fixture
def addresses(engine_and_addresses: tuple[Engine, dict[str, str]]) -> dict[str, str]:
    return engine_and_addresses[1]


def test_the_addresses_are_those_of_the_published_ports(addresses: dict[str, str], stack: dict[str, str]) -> None:
    """Each service answered there: the stack is yielded only then."""
    assert {name: port_of(url) for name, url in addresses.items()} == {n: port_of(url) for n, url in stack.items()}
    with psycopg.connect(addresses["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_each_container_is_the_one_of_the_compose_file(engine: Engine) -> None:
    assert {name: engine.of(name).image for name in COMPONENTS} == {n: SERVICES[n]["image"] for n in COMPONENTS}
    assert set(engine.pulled) == {engine.of(name).image for name in (*COMPONENTS, "ryuk")}
    assert not any(engine.of(name).removed for name in COMPONENTS)


def test_kafka_has_the_settings_of_the_local_stack_and_advertises_its_published_port(
    engine: Engine, stack: dict[str, str]
) -> None:
    kafka = engine.of("kafka")
    wanted = {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in BROKER_SETTINGS.items()}
    assert {name: kafka.environment.get(name) for name in wanted} == wanted
    assert kafka.asked["Hostname"] == "kafka"  # its own address as a controller
    assert kafka.asked["ExposedPorts"] == {"9092/tcp": {}}
    ((path, script),) = kafka.files.items()
    advertised = f"INTERNAL://kafka:19092,HOST://127.0.0.1:{port_of(stack['KAFKA_BOOTSTRAP_SERVERS'])}"
    assert script.decode().splitlines() == [
        f"export KAFKA_ADVERTISED_LISTENERS={advertised}",
        "exec /etc/kafka/docker/run",
    ]
    assert kafka.asked["Entrypoint"] == ["sh"]
    assert kafka.asked["Cmd"] == ["-c", f"while [ ! -s {path} ]; do sleep 0.1; done; exec sh {path}"]


def test_the_registry_stores_in_memory_and_postgres_is_configured_as_the_local_one(
    engine: Engine, password: str
) -> None:
    registry, postgres = engine.of("registry"), engine.of("postgres")
    assert registry.environment["APICURIO_DATASOURCE_URL"] == "jdbc:h2:mem:registry"
    assert not any("postgres" in value for value in registry.environment.values())
    assert postgres.asked["Cmd"] == SERVICES["postgres"]["command"]
    assert postgres.asked["HostConfig"]["ShmSize"] == 256 * 1024 * 1024
    assert postgres.environment == {"POSTGRES_USER": "sluice", "POSTGRES_DB": "sluice", "POSTGRES_PASSWORD": password}


def test_a_container_that_ends_is_reported_with_its_log_and_all_are_removed(
    stack: dict[str, str], password: str
) -> None:
    with engine_in_front_of(stack) as engine:
        engine.broken.add("postgres")
        ended = r"postgres:18\.4 is exited; its log ends: it is Started!\."
        with pytest.raises(StartupError, match=ended) as raised, container_stack(password):
            pass
        assert all(engine.of(name).removed for name in COMPONENTS)
    assert "SLUICE_TEST_STACK=local" in str(raised.value.next_step)


def port_of(address: str) -> int:
    port = urlsplit(address if "//" in address else f"//{address}").port
    assert port is not None
    return port
