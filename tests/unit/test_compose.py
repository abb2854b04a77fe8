"""The compose file is valid and agrees with the code."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.cli.commands import COMMANDS
from streams.health.watchdog import CLOSE_S
from streams.settings import Settings
from streams.stack import postgres
from streams.stack.artifacts import KAFKA_VERSION, REGISTRY_VERSION
from streams.stack.kafka import BROKER_SETTINGS

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def test_it_follows_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec/compose-spec.json").read_text())
    jsonschema.validate(COMPOSE, schema)


def test_the_broker_has_the_settings_of_the_local_stack() -> None:
    environment = SERVICES["kafka"]["environment"]
    wanted = {"KAFKA_" + name.upper().replace(".", "_"): value for name, value in BROKER_SETTINGS.items()}
    assert {name: environment.get(name) for name in wanted} == wanted


def test_postgres_has_the_settings_of_the_local_stack() -> None:
    options = [option.removeprefix("-c").split("=") for option in SERVICES["postgres"]["command"][1:]]
    assert options
    assert [(name, value) for name, value in options if postgres.SETTINGS.get(name) != value] == []


def test_the_components_have_the_versions_of_the_local_stack() -> None:
    assert SERVICES["kafka"]["image"].endswith(f":{KAFKA_VERSION}")
    assert SERVICES["registry"]["image"].endswith(f":{REGISTRY_VERSION}")
    assert SERVICES["postgres"]["image"].partition(":")[2].split(".")[0] == postgres.Postgres.version


def test_every_image_that_is_not_ours_is_pinned() -> None:
    images = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    assert len(images) == 4
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_runs_a_command_that_exists(name: str) -> None:
    assert OURS[name]["command"][0] in {command.name for command in COMMANDS}


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_is_built_from_a_stage_that_exists(name: str) -> None:
    stages = re.findall(r"^FROM .* AS (\S+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert OURS[name]["build"]["target"] in stages


def test_an_image_is_built_with_every_package_of_the_project() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    sent = (ROOT / "Dockerfile.dockerignore").read_text().splitlines()
    assert [package for package in packages if f"!{package}" not in sent] == []


ONCE = {"topics", "migrate"}


@pytest.mark.parametrize("name", sorted(OURS.keys() - ONCE))
def test_a_health_check_asks_the_address_the_service_listens_on(name: str) -> None:
    test = OURS[name]["healthcheck"]["test"]
    assert test[:3] == ["CMD", "python", "-c"]
    script = ast.parse(test[3])  # it is Python
    (url,) = [node.value for node in ast.walk(script) if isinstance(node, ast.Constant) and "://" in str(node.value)]
    assert url == f"http://{OURS[name]['environment']['SLUICE_HEALTH_ADDRESS']}/readyz"


@pytest.mark.parametrize("name", sorted(ONCE))
def test_a_service_that_runs_once_has_no_health_check(name: str) -> None:
    assert OURS[name]["healthcheck"] == {"disable": True}


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_may_finish_its_jobs_before_it_is_killed(name: str) -> None:
    assert int(OURS[name]["stop_grace_period"].removesuffix("s")) > Settings().drain_s + CLOSE_S


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_has_only_settings_that_exist(name: str) -> None:
    known = {f"SLUICE_{field.upper()}" for field in Settings.model_fields}
    addresses = {"KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "DATABASE_URL"}
    assert set(OURS[name]["environment"]) - known - addresses == set()


@pytest.mark.parametrize("name", SERVICES)
def test_a_dependency_of_a_service_exists_and_has_a_health_check(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_a_component_has_a_health_check_and_is_reachable_from_this_machine_only(name: str) -> None:
    assert "healthcheck" in SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])
