"""An installation in memory for each test of the sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.harness.sink_kit import twin_settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with twin_settings(tmp_path) as settings:
        yield settings
