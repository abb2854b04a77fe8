"""The test stack as containers: Kafka, registry and Postgres as docker-compose.kafka.yml describes them, by testcontainers.

Images, settings and versions are read from the compose file, which a test compares with the local stack. Only this differs:
every port is a free one of the host, nothing is kept, and the registry stores in memory (it needs no second container's name).
"""

from __future__ import annotations

import gc
import secrets
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import yaml
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.waiting_utils import WaitStrategy, WaitStrategyTarget

from schemas.errors import StartupError
from streams.stack import COMPONENTS
from streams.stack.registry import API
from tests.harness.source_tree import ROOT
from tests.harness.stack_choice import SETTING

#: An engine that is silent for longer counts as absent.
ENGINE_PATIENCE_S = 2.0
#: The images are pulled before this time begins.
START_PATIENCE_S = 120
_COMPOSE = ROOT / "docker-compose.kafka.yml"
_KAFKA_PORT, _REGISTRY_PORT, _POSTGRES_PORT = 9092, 8080, 5432
_START_SCRIPT = "/tmp/start-kafka.sh"


def engine_version(patience_s: float = ENGINE_PATIENCE_S) -> str:
    """Return the version of the Docker engine that answers. Raises ConnectionError if none does within `patience_s`."""
    with warnings.catch_warnings():
        # A Docker client whose connection was refused leaves its socket to the garbage collector, which warns.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = DockerClient(timeout=patience_s).client
            version = str(client.version()["Version"])
            client.close()
            return version
        except Exception as error:  # noqa: BLE001 (whatever a Docker client raises, no engine can be used)
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        gc.collect()
    raise ConnectionError(reason)


@contextmanager
def container_stack(password: str | None = None) -> Iterator[dict[str, str]]:
    """Run the three containers; yield their addresses by the names of the environment variables.

    Args:
        password: Of the database. Default: a random one.
    """
    with ExitStack() as running:
        started: list[DockerContainer] = []
        try:
            addresses = _start(running, started, password or secrets.token_urlsafe(24))
        except Exception as error:
            raise StartupError(
                f"The test stack did not start in Docker: {error}.{_logs_of_the_ended(started)}",
                next_step=f"Mend the cause, or use the stack without Docker: {SETTING}=local.",
            ) from error
        yield addresses


class Answers(WaitStrategy):
    """Waits until a service answers from here, through the published port. Fails at once if its container ends."""

    def __init__(self, answers: Callable[[], bool]) -> None:
        super().__init__()
        self._answers = answers
        self.with_startup_timeout(START_PATIENCE_S).with_poll_interval(0.1)

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        def check() -> bool:
            container.reload()
            if container.status not in ("created", "running"):
                raise StopIteration  # ends the polling
            return self._answers()

        if not self._poll(check):
            raise TimeoutError("a container does not answer")


def _start(running: ExitStack, started: list[DockerContainer], password: str) -> dict[str, str]:
    """Start all three, then wait for each: they boot side by side."""
    services = yaml.safe_load(_COMPOSE.read_text())["services"]
    kafka, registry = _kafka(services["kafka"]), _registry(services["registry"])
    postgres = _postgres(services["postgres"], password)
    started.extend(running.enter_context(container) for container in (kafka, registry, postgres))

    bootstrap = _address(kafka, _KAFKA_PORT)
    kafka.copy_into_container(_start_script(services["kafka"], bootstrap), _START_SCRIPT)
    url = f"http://{_address(registry, _REGISTRY_PORT)}{API}"
    names = services["postgres"]["environment"]
    dsn = (
        f"postgresql://{names['POSTGRES_USER']}:{password}@{_address(postgres, _POSTGRES_PORT)}/{names['POSTGRES_DB']}"
    )

    Answers(lambda: COMPONENTS["kafka"].answers(bootstrap)).wait_until_ready(kafka)
    Answers(lambda: COMPONENTS["registry"].answers(url)).wait_until_ready(registry)
    Answers(lambda: _accepts(dsn)).wait_until_ready(postgres)
    return {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "SCHEMA_REGISTRY_URL": url, "DATABASE_URL": dsn}


def _kafka(service: dict[str, Any]) -> DockerContainer:
    """Return a broker that waits for its start script: the address that it advertises is known only once its port is."""
    made = _container(service, _KAFKA_PORT, without=("KAFKA_ADVERTISED_LISTENERS",))
    waiting = f"while [ ! -s {_START_SCRIPT} ]; do sleep 0.1; done; exec sh {_START_SCRIPT}"
    return made.with_kwargs(hostname=service["hostname"], entrypoint="sh").with_command(["-c", waiting])


def _start_script(service: dict[str, Any], bootstrap: str) -> bytes:
    inside = service["environment"]["KAFKA_ADVERTISED_LISTENERS"].partition(",")[0]
    return f"export KAFKA_ADVERTISED_LISTENERS={inside},HOST://{bootstrap}\nexec /etc/kafka/docker/run\n".encode()


def _registry(service: dict[str, Any]) -> DockerContainer:
    datasource = [name for name in service["environment"] if name.startswith("APICURIO_DATASOURCE_")]
    made = _container(service, _REGISTRY_PORT, without=datasource)
    return made.with_envs(APICURIO_STORAGE_SQL_KIND="h2", APICURIO_DATASOURCE_URL="jdbc:h2:mem:registry")


def _postgres(service: dict[str, Any], password: str) -> DockerContainer:
    made = _container(service, _POSTGRES_PORT).with_env("POSTGRES_PASSWORD", password)
    return made.with_kwargs(shm_size=service["shm_size"]).with_command(list(service["command"]))


def _container(service: dict[str, Any], port: int, without: list[str] | tuple[str, ...] = ()) -> DockerContainer:
    settings = {name: str(value) for name, value in service["environment"].items() if name not in without}
    return DockerContainer(str(service["image"])).with_envs(**settings).with_exposed_ports(port)


def _address(container: DockerContainer, port: int) -> str:
    return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"


def _accepts(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _logs_of_the_ended(containers: list[DockerContainer]) -> str:
    """Return the last lines of every container that no longer runs."""
    said = []
    for container in containers:
        container.reload()
        if container.status != "running":
            lines = b"\n".join(container.get_logs()).decode(errors="replace").strip().splitlines()
            said.append(f" {container.image} is {container.status}; its log ends: {' | '.join(lines[-5:])}.")
    return "".join(said)
