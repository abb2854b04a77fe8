"""The fixtures that integration tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.settings import Settings
from tests.harness.scribe import Scribe


@pytest.fixture
def scribe(settings: Settings) -> Iterator[Scribe]:
    made = Scribe(settings)
    yield made
    made.close()
