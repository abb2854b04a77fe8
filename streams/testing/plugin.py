"""A pytest plugin, found by its entry point: the fixture `sluice_flow`. Nothing is imported before a test asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from streams.testing.flow import Flow


@pytest.fixture
def sluice_flow() -> Iterator[Callable[..., Flow]]:
    """`sluice_flow("echo")` is an open Flow of these processors, closed at the end of the test."""
    from streams.testing.flow import Flow

    with ExitStack() as stack:

        def open_flow(*processors: Any, **more: Any) -> Flow:
            return stack.enter_context(Flow(*processors, **more))

        yield open_flow
