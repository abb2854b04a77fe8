"""Reports of shadow runs over HTTP, on twins in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from connectors.access_store import SCOPES
from connectors.replay_store import NewReplay, ReplayFilter
from gateway import shadow_reports
from gateway.principal import Principal
from schemas.ids import new_id
from schemas.states import State
from streams.sink.event import TerminalResult
from tests.harness.gateway_app import memory_settings, serving
from tests.harness.stores import Stores, ended, new_job, requested


class _ByName:
    """A token is `TENANT`, with every scope, or `TENANT.SCOPE`."""

    async def principal(self, token: str) -> Principal | None:
        tenant, _, scope = token.partition(".")
        return Principal(tenant, frozenset([scope] if scope else SCOPES), token)


def shadow_run(stores: Stores, mode: str, tenant: str = "clinic") -> str:
    """Store a job and its shadow run, whose outputs differ."""
    job, head = new_job(), {"tenant": tenant}
    one, two = (TerminalResult(State.COMPLETED, output=b'{"risk": %d}' % n) for n in (4, 5))
    stores.store(requested(job, 0, header=head), ended(job, 1, header=head)._replace(terminal=one))
    new = NewReplay(new_id(), "me", "why not", tenant=tenant, mode=mode, to_version="2")
    replay_id: str = stores.replays.start(new, ReplayFilter(job_ids=[str(job)])).replay_id
    stores.store(ended(job, 2, run=1, header={**head, "mode": "shadow"})._replace(terminal=two))
    return replay_id


def asked(home: Path, *requests: tuple[str, str], mode: str = "shadow") -> list[httpx.Response]:
    """Answer requests (token and what follows the id in the path) for the report of one shadow run."""

    async def run() -> list[httpx.Response]:
        async with serving(memory_settings(home)) as (client, ports):
            ports.authenticator = _ByName()
            replay_id = shadow_run(Stores(ports.settings), mode)
            return [
                await client.get(f"/v1/replays/{replay_id}/report{query}", headers={"Authorization": f"Bearer {token}"})
                for token, query in requests
            ]

    return asyncio.run(run())


def test_a_report_is_json_or_a_page(tmp_path: Path) -> None:
    plain, page, tolerant = asked(tmp_path, ("clinic", ""), ("clinic", "?format=html"), ("clinic", "?tolerance=0.5"))
    assert plain.status_code == 200, plain.text
    [field] = plain.json()["cases"][0]["fields"]
    assert (field["path"], field["absolute"], field["relative"]) == ("risk", 1, 0.25)
    assert plain.json()["complete"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert plain.headers["cache-control"] == page.headers["cache-control"] == "no-store"
    assert page.text.startswith("<!doctype html>")
    assert tolerant.json()["summary"]["results"]["equal"] == 1


def test_only_operators_of_the_tenant_see_it(tmp_path: Path) -> None:
    answers = asked(tmp_path, ("other", ""), ("clinic.read", ""), ("*", ""), ("clinic.operate", ""))
    assert [answer.status_code for answer in answers] == [404, 403, 200, 200]


def test_a_replay_that_is_no_shadow_run_has_no_report(tmp_path: Path) -> None:
    [answer] = asked(tmp_path, ("clinic", ""), mode="replay")
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_INPUT")


def test_a_large_replay_is_left_to_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_reports, "MOST_JOBS", 0)
    [answer] = asked(tmp_path, ("clinic", ""))
    assert (answer.status_code, "sluice replay report" in answer.json()["next_step"]) == (422, True)
