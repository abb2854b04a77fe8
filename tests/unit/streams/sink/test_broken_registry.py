"""An exception that the registry's client did not foresee is the registry's fault: the record waits, and is not to blame."""

from __future__ import annotations

import threading
from typing import NoReturn

import pytest

from schemas.errors import Unreachable
from schemas.registry import MemoryRegistry
from streams import logs
from streams.health.loop_threads import LoopThreads
from streams.sink.schema_fetcher import SchemaFetcher


class Broken(MemoryRegistry):
    def schema_by_id(self, schema_id: int) -> NoReturn:
        raise RuntimeError("a bug in a client library")


def test_a_record_waits_while_the_registry_client_fails(capsys: pytest.CaptureFixture[str]) -> None:
    fetcher = SchemaFetcher(Broken())
    fetcher.start(LoopThreads("sink", logs.get("sink")))
    answered = threading.Event()
    while not answered.wait(0.01):
        with pytest.raises(Unreachable) as caught:
            fetcher.schema_by_id(7)
        if "RuntimeError" in caught.value.message:
            answered.set()
    fetcher.stop()
    printed = capsys.readouterr().err
    assert "schema_not_fetched" in printed
    assert "client library" not in printed
