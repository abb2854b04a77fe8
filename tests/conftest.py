"""The stack that tests run against: addresses from the environment, else a local stack of this session's own.

A missing broker fails the run; nothing is skipped. Every test that takes `settings` gets topics under a prefix of its own and
a database of its own, so tests share only the processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from streams import logs
from streams.settings import Settings

# A busy machine is no fault of the code: no test is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "DATABASE_URL")


@pytest.fixture(autouse=True)
def logging_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin with the same logging: a logger that is cached keeps the level and outputs of an earlier test."""
    configure = structlog.configure
    monkeypatch.setattr(
        structlog, "configure", lambda **options: configure(**options | {"cache_logger_on_first_use": False})
    )
    structlog.contextvars.clear_contextvars()
    logs.configure("info", "json")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the addresses of a running Kafka, registry and Postgres, by the names of the environment variables."""
    if all(os.environ.get(name) for name in ADDRESSES):
        yield {name: os.environ[name] for name in ADDRESSES}
        return
    from streams.stack import LocalStack

    local = LocalStack(tmp_path_factory.mktemp("stack"))
    try:
        yield local.up().env()
    finally:
        local.down()


@pytest.fixture
def settings(stack: dict[str, str], tmp_path: Path) -> Iterator[Settings]:
    """Yield settings of an installation of this test's own: topics made, schemas registered, tables migrated."""
    from tests.harness.installation import installation

    with installation(stack, tmp_path / "home") as made:
        yield made
