"""Which Kafka, registry and Postgres a test run uses: decided once, printed in pytest's header, the same in every worker.

Given addresses win. Else `SLUICE_TEST_STACK` decides: `docker` (containers, or an error), `local` (the local stack), or `auto`
(the default): containers where a Docker engine answers, else the local stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

#: The environment variables that name a stack that runs already; all three, or none.
ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "DATABASE_URL")
SETTING = "SLUICE_TEST_STACK"
#: An engine is only asked if one of these exists: importing a Docker client costs every test run half a second.
_SOCKETS_AND_CONTEXTS = ("/var/run/docker.sock", "~/.docker/config.json", "~/.testcontainers.properties")


@dataclass(frozen=True)
class StackChoice:
    """A chosen stack (`given`, `docker` or `local`) and the reason for it."""

    stack: str
    reason: str

    def __str__(self) -> str:
        return f"test stack: {self.stack} ({self.reason})"

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def engine_version() -> str:
    """Return the version of the Docker engine that answers. Raises ConnectionError if none does."""
    from tests.harness import containers

    return containers.engine_version()


def choose(environment: Mapping[str, str], ask_engine: Callable[[], str] = engine_version) -> StackChoice:
    """Return the stack for this run. Raises pytest.UsageError if the environment asks for one that can't be had."""
    if all(environment.get(name) for name in ADDRESSES):
        return StackChoice("given", "KAFKA_BOOTSTRAP_SERVERS, SCHEMA_REGISTRY_URL and DATABASE_URL are set")
    wanted = environment.get(SETTING) or "auto"
    if wanted not in ("auto", "docker", "local"):
        raise pytest.UsageError(f"{SETTING} is {wanted!r}. Set it to docker, local or auto.")
    if wanted == "local":
        return StackChoice("local", f"{SETTING}=local")
    if wanted == "auto" and not _may_have_docker(environment):
        return StackChoice("local", "no Docker: DOCKER_HOST is not set and /var/run/docker.sock does not exist")
    try:
        return StackChoice("docker", f"Docker engine {ask_engine()} answers")
    except ConnectionError as error:
        if wanted == "auto":
            return StackChoice("local", f"no Docker engine answers: {error}")
        raise pytest.UsageError(
            f"{SETTING}=docker, but no Docker engine answers: {error}. "
            f"Start one, set DOCKER_HOST, or set {SETTING}=local."
        ) from None


def _may_have_docker(environment: Mapping[str, str]) -> bool:
    named = environment.get("DOCKER_HOST") or environment.get("DOCKER_CONTEXT")
    return bool(named) or any(Path(path).expanduser().exists() for path in _SOCKETS_AND_CONTEXTS)
