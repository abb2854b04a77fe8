"""Stores in memory for the tests of a dispatcher."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.memory import MemoryDatabase
from streams.settings import Settings
from tests.harness.stores import Stores


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    name = uuid.uuid4().hex
    made = Stores(Settings(database_url=SecretStr(f"memory:{name}"), home=tmp_path))
    yield made
    made.close()
    MemoryDatabase.forget(name)


@pytest.fixture
def database(stores: Stores) -> MemoryDatabase:
    found = MemoryDatabase.at(stores.settings.database)
    assert found is not None
    return found
