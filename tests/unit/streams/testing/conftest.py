"""A flow whose dead letters `sluice dlq` shows and redrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from streams.cli.run import run
from streams.testing import Flow
from tests.unit.streams.testing.dead_letter_kit import Sluice


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with Flow("echo", partitions=1) as flow:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", flow.settings.bootstrap)
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", flow.settings.bootstrap)
        monkeypatch.setenv("DATABASE_URL", flow.settings.database)
        monkeypatch.setenv("SLUICE_HOME", str(flow.settings.home))
        yield flow


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str]) -> Sluice:
    """Run `sluice dlq …` with --json and return what it printed; `code` is the expected exit status."""

    def call(*argv: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run(["dlq", *argv, "--json"]) == code
        printed = capsys.readouterr().out
        return json.loads(printed) if printed else None

    return call
