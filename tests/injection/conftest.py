"""The simulation for a whole file: to give it to the services' modules and back costs more than a case."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest

from tests.injection.world import simulated


@pytest.fixture
def simulation() -> Iterator[None]:
    with simulated(), warnings.catch_warnings():
        # A killed process leaves coroutines that never ran.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        yield
        gc.collect()
