from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit import Gateway, backend, empty_tables, forget_database, gateway


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the backend's files, shared by all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def _running(data: Path) -> Iterator[tuple[Gateway, httpx.Client]]:
    forget_database()
    with gateway() as server, backend(server.url, data) as made:
        yield server, made


@pytest.fixture
def sluice(_running: tuple[Gateway, httpx.Client]) -> Gateway:
    """Return the server that stands for sluice: it has been asked nothing yet, and accepts everything."""
    server, _ = _running
    server.accept_all()
    return server


@pytest.fixture
def client(_running: tuple[Gateway, httpx.Client], sluice: Gateway) -> httpx.Client:
    """Return a client of the backend, whose tables are empty."""
    empty_tables()
    return _running[1]
