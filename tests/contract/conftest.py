"""Both implementations of each port: in memory, and on a real stack with a database or topic of the test's own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.memory import MemoryDatabase
from streams.log.memory import MemoryLog
from streams.settings import Settings
from tests.harness.contract_log import LogUnderTest
from tests.harness.databases import create_database, drop_database, empty_database
from tests.harness.stores import Stores


@pytest.fixture(scope="session")
def database(stack: dict[str, str]) -> Iterator[str]:
    """A database for all contract tests, emptied before each: emptying takes a tenth of the time of creating."""
    name = f"t{uuid.uuid4().hex[:10]}"
    yield create_database(stack["DATABASE_URL"], name)
    drop_database(stack["DATABASE_URL"], name)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    name = uuid.uuid4().hex
    address = f"memory:{name}"
    if request.param == "postgres":
        address = request.getfixturevalue("database")
        empty_database(address)
    made = Stores(Settings(database_url=SecretStr(address), home=tmp_path))
    yield made
    made.close()
    MemoryDatabase.forget(name)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.stack)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogUnderTest]:
    address = f"memory:{uuid.uuid4().hex}"
    if request.param == "kafka":
        address = request.getfixturevalue("stack")["KAFKA_BOOTSTRAP_SERVERS"]
    made = LogUnderTest(Settings(kafka_bootstrap_servers=address, home=tmp_path))
    yield made
    made.close()
    MemoryLog.forget(address.removeprefix("memory:"))


@pytest.fixture
def group() -> str:
    return f"contract.{uuid.uuid4().hex[:10]}"
