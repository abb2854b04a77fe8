"""A server that says what the test lets it say, and the client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from processors.language.server import LanguageServer
from tests.harness.language_server import KEY, FakeLanguageServer, serving_language


@pytest.fixture
def fake() -> Iterator[FakeLanguageServer]:
    with serving_language() as running:
        yield running


@pytest.fixture
def model(fake: FakeLanguageServer) -> Iterator[LanguageServer]:
    made = LanguageServer(fake.url, "fake-model", KEY, timeout_s=5.0)
    yield made
    made.close()
