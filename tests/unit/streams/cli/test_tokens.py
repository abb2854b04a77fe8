from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from connectors.access_store import token_hash
from connectors.memory import MemoryDatabase
from schemas.errors import NotFound, UsageError
from streams import wiring
from streams.cli import tenants, tokens
from streams.settings import load_settings


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    name = uuid.uuid4().hex
    monkeypatch.setenv("DATABASE_URL", f"memory:{name}")
    yield
    MemoryDatabase.forget(name)


def test_a_token_is_printed_once_and_only_its_hash_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    assert tokens.create("backend", tenant="clinic", scope=("submit", "read")) == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("slt_")
    with wiring.access_store(load_settings()) as store:
        found = store.token(token_hash(token))
    assert found is not None
    assert (found.name, found.tenant, found.scopes) == ("backend", "clinic", ("submit", "read"))
    tokens.list_()
    listed = capsys.readouterr().out
    assert "backend" in listed
    assert token not in listed
    assert tokens.revoke("backend") == 0
    with wiring.access_store(load_settings()) as store:
        assert store.token(token_hash(token)) is None
    with pytest.raises(NotFound, match="backend"):
        tokens.revoke("backend")


def test_a_token_of_every_tenant_can_not_submit_or_read() -> None:
    with pytest.raises(UsageError, match="submit"):
        tokens.create("lab", tenant="*")
    assert tokens.create("lab", tenant="*", scope=("work",)) == 0


@pytest.mark.parametrize(("name", "tenant"), [("", "t"), ("n", " "), ("n" * 129, "t"), ("n", "a\nb")])
def test_a_name_is_a_short_text_that_can_be_printed(name: str, tenant: str) -> None:
    with pytest.raises(UsageError, match="printable"):
        tokens.create(name, tenant=tenant)


def test_a_tenants_quota_is_listed_as_it_was_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert tenants.set_("clinic", jobs_per_s=50.0, burst=200, in_flight=10_000) == 0
    capsys.readouterr()
    tenants.list_(json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"tenant": "clinic", "jobs_per_s": 50.0, "burst": 200, "in_flight": 10_000}
    ]
