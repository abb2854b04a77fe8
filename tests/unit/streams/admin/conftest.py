"""An installation in memory for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.memory import MemoryDatabase
from schemas.registry import MemoryRegistry
from streams.log.memory import MemoryLog
from streams.settings import Settings
from tests.harness.gateway_app import memory_settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = memory_settings(tmp_path)
    yield made
    for twin in (MemoryLog, MemoryDatabase, MemoryRegistry):
        twin.forget(made.bootstrap.removeprefix("memory:"))
