"""`sluice deliveries`, on stores in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from connectors.delivery_store import DestinationTries, NotedCircuit, TryRow
from connectors.memory import MemoryDatabase
from schemas.errors import ExitCode
from streams.cli.run import run
from streams.settings import Settings
from streams.sink.rows import delivery_id
from tests.harness.stores import Stores, ended, new_job, requested

Sluice = Callable[..., Any]


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    name = uuid.uuid4().hex
    monkeypatch.setenv("DATABASE_URL", f"memory:{name}")
    made = Stores(Settings(database_url=SecretStr(f"memory:{name}"), home=tmp_path))
    yield made
    made.close()
    MemoryDatabase.forget(name)


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str]) -> Sluice:
    """Run `sluice deliveries …` with --json and return what it printed; `code` is the expected exit status."""

    def call(*argv: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run(["deliveries", *argv, "--json"]) == code
        printed = capsys.readouterr().out
        return json.loads(printed) if printed else None

    return call


def delivery(stores: Stores, state: str = "parked", url: str = "http://backend:8000/cb") -> str:
    job, head = new_job(), {"callback_url": url}
    stores.store(requested(job, 0, header=head), ended(job, 1, header=head))
    id_ = delivery_id(job.bytes, 0)
    if state != "pending":
        stores.deliveries.record([TryRow(id_, state, 0, True, 503, 1.5, "It answered 503.")])
    return str(UUID(bytes=id_))


def test_deliveries_are_listed_and_shown(stores: Stores, sluice: Sluice, capsys: pytest.CaptureFixture[str]) -> None:
    parked, _ = delivery(stores), delivery(stores, "pending")
    assert [row["delivery_id"] for row in sluice("list", "--state", "parked", "--since", "1h")] == [parked]
    assert sluice("list", "--until", "2020-01-01") == []
    shown = sluice("show", parked)
    assert (shown["delivery"]["state"], shown["tries"][0]["status"]) == ("parked", 503)
    assert run(["deliveries", "show", parked]) == 0
    assert "It answered 503." in capsys.readouterr().out
    sluice("show", str(uuid.uuid4()), code=ExitCode.NOT_FOUND)


def test_one_delivery_is_sent_again_by_its_id(stores: Stores, sluice: Sluice) -> None:
    parked, pending = delivery(stores), delivery(stores, "pending")
    assert sluice("resend", parked, "--dry-run") == {"deliveries": 1, "dry_run": True}
    assert sluice("resend", parked) == {"deliveries": 1, "dry_run": False}
    sluice("resend", pending, code=ExitCode.CONFLICT)
    sluice("resend", str(uuid.uuid4()), code=ExitCode.NOT_FOUND)


def test_many_are_sent_again_by_destination_state_and_time_and_counted_before(stores: Stores, sluice: Sluice) -> None:
    for state in ("parked", "gone", "refused", "delivered", "pending"):
        delivery(stores, state)
    delivery(stores, url="http://elsewhere:1/")
    assert sluice("resend", "--destination", "backend:8000", "--dry-run")["deliveries"] == 3
    assert sluice("resend", "--until", "2020-01-01")["deliveries"] == 0
    assert sluice("resend", "--destination", "backend:8000", "--since", "1h")["deliveries"] == 3
    assert sluice("resend", "--state", "delivered")["deliveries"] == 1
    assert len(sluice("list", "--state", "pending")) == 5


def test_a_resend_that_names_none_or_too_much_is_a_usage_error(stores: Stores, sluice: Sluice) -> None:
    sluice("resend", code=ExitCode.USAGE)
    sluice("resend", delivery(stores), "--state", "parked", code=ExitCode.USAGE)


def test_the_health_of_destinations_is_shown(
    stores: Stores, sluice: Sluice, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery(stores, "pending")
    tries = [DestinationTries("default", "backend:8000", 9, 1, "No answer.")]
    stores.deliveries.note_destinations(tries, [NotedCircuit("backend:8000", 60_000)])
    [one] = sluice("destinations")
    assert (one["destination"], one["circuit"], one["pending"], one["success_rate"]) == ("backend:8000", "open", 1, 0.9)
    assert run(["deliveries", "destinations"]) == 0
    assert "90.0%" in capsys.readouterr().out
