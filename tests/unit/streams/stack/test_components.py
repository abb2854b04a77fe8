"""The configuration of the components, and the state they report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.errors import UsageError
from streams.stack import COMPONENTS, ComponentState, LocalStack, StackState
from streams.stack.artifacts import KAFKA_VERSION, LOCK, REGISTRY_VERSION, as_toml, locked
from streams.stack.kafka import server_properties


def test_the_locked_broker_is_of_one_version_throughout() -> None:
    of_kafka = [each.path for each in locked("kafka") if each.path.startswith("org/apache/kafka/")]
    assert len(of_kafka) > 10
    assert [path for path in of_kafka if f"/{KAFKA_VERSION}/" not in path] == []


def test_the_locked_registry_is_the_version_it_says() -> None:
    assert [each.path.count(REGISTRY_VERSION) for each in locked("registry")] == [2]


@pytest.mark.parametrize("component", ["kafka", "registry"])
def test_every_locked_file_has_its_checksum_and_is_listed_once(component: str) -> None:
    artifacts = locked(component)
    assert all(re.fullmatch("[0-9a-f]{64}", each.sha256) and each.size > 0 for each in artifacts)
    names = [re.sub(r"-[0-9].*", "", Path(each.path).name) for each in artifacts]
    assert sorted(names) == sorted(set(names))


def test_the_lock_file_matches_what_its_writer_writes() -> None:
    assert as_toml({component: list(locked(component)) for component in ("kafka", "registry")}) == LOCK.read_text()


def test_the_broker_listens_on_the_loopback_only() -> None:
    settings = dict(line.split("=", 1) for line in server_properties(Path("/d"), 19092, 19093).splitlines())
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:19092"
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:19093"
    assert settings["log.dirs"] == "/d"


def test_every_component_has_a_default_port_under_its_own_name() -> None:
    assert all(component.name in component.ports for component in COMPONENTS.values())
    defaults = [port for component in COMPONENTS.values() for port in component.ports.values()]
    assert len(defaults) == len(set(defaults))


def test_a_stack_that_never_ran_has_no_addresses(tmp_path: Path) -> None:
    state = LocalStack(tmp_path / ".sluice").status()
    assert [component.name for component in state.components] == list(COMPONENTS)
    assert not state.running
    assert state.env() == {}
    assert list(tmp_path.iterdir()) == []


def test_the_error_for_an_unknown_component_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown component 'zookeeper'.*components are: kafka, registry, postgres"):
        LocalStack(tmp_path).up(["zookeeper"])


def test_only_addresses_of_running_components_go_into_the_environment() -> None:
    kafka = ComponentState("kafka", running=True, log=Path("k"), address="127.0.0.1:9092")
    postgres = ComponentState("postgres", running=False, log=Path("p"), address="postgresql://u:secret@h/d")
    state = StackState((kafka, postgres))
    assert state.env() == {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}
    assert "secret" not in repr(state)
