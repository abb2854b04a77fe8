"""The registry for as long as it is needed: its connections are closed at the end of the block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.registry import SchemaRegistry
from streams import wiring
from streams.settings import Settings


@contextmanager
def open_registry(settings: Settings) -> Iterator[SchemaRegistry]:
    registry = wiring.registry(settings)
    try:
        yield registry
    finally:
        close = getattr(registry, "close", None)
        if close is not None:
            close()
