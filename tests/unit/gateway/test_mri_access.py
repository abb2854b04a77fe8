"""Access to the polling contract: by network, by Basic credentials, or both."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from connectors.access_store import SCOPES
from gateway.app import create_app
from gateway.mri_polling.callers import credentials_of, is_within
from gateway.ports import Ports
from gateway.service import Gateway
from schemas.errors import StartupError, UsageError
from streams.settings import Settings, load_settings
from tests.harness.gateway_app import memory_settings
from tests.harness.gateway_service import open_gateway, token_for
from tests.harness.old_mri_worker import OldWorker, checked

BASE = "/api/mri/segmentation"


def settings_of(home: Path, **changes: Any) -> Settings:
    return memory_settings(home, processors=("mri-lab",), use_local_inference=True, **changes)


def statuses(made: Settings, peer: str, asks: Sequence[tuple[str, str, dict[str, str]]]) -> list[int]:
    """Return the status of each request of a client with this address."""

    async def ask_all() -> list[int]:
        ports = Ports(made)
        app = create_app(ports)
        transport = httpx.ASGITransport(app, client=(peer, 1))
        try:
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
            ):
                answers = [await client.request(method, path, headers=headers) for method, path, headers in asks]
        finally:
            ports.close()
        assert all(answer.json()["success"] is (answer.status_code == 200) for answer in answers)
        return [answer.status_code for answer in answers]

    return asyncio.run(ask_all())


def basic(name: str, token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


def test_a_client_outside_of_the_networks_is_refused_whatever_it_says_of_itself(tmp_path: Path) -> None:
    made = settings_of(tmp_path, gateway_mri="networks", gateway_mri_networks="10.20.0.0/16, 2001:db8::/32")
    poll = ("GET", f"{BASE}/pending-requests/", {"X-Forwarded-For": "10.20.0.1", "Forwarded": "for=10.20.0.1"})
    found = {
        peer: statuses(made, peer, [poll])
        for peer in ("10.20.7.7", "::ffff:10.20.7.7", "2001:db8::7", "10.21.0.1", "::1")
    }
    assert found == {
        "10.20.7.7": [200],
        "::ffff:10.20.7.7": [200],
        "2001:db8::7": [200],
        "10.21.0.1": [403],
        "::1": [403],
    }


def test_a_header_that_names_another_address_lets_no_one_in_over_the_wire(tmp_path: Path) -> None:
    """uvicorn believes X-Forwarded-For of a peer on this machine."""
    made = settings_of(tmp_path, gateway_mri="networks", gateway_mri_networks="10.20.0.0/16")
    with open_gateway(made) as url:
        answer = requests.get(f"{url}{BASE}/requests/", headers={"X-Forwarded-For": "10.20.0.1"}, timeout=10)
    checked(answer, "error", 403)


def test_credentials_in_the_url_let_an_unchanged_worker_in_for_what_its_token_allows(tmp_path: Path) -> None:
    made = settings_of(tmp_path, gateway_mri="basic")
    with open_gateway(made, gateway_auth="token") as url:
        lab, server, reader = (token_for(made, name, (scope,)) for name, scope in NAMES)
        host = url.removeprefix("http://")

        def through(name: str, token: str) -> str:
            return f"http://{name.replace(' ', '%20')}:{token}@{host}/api/mri"

        worker = OldWorker(through("token of lab1", lab), "one")
        assert worker.poll() is None
        start = "/segmentation/series/1.2.3/segment/"
        checked(requests.post(through("token of server", server) + start, timeout=10), "started")
        checked(requests.get(through("token of reader", reader) + "/segmentation/requests/", timeout=10), "listed")
        for name, token, path, status in (
            ("token of lab1", lab, start, 403),
            ("token of server", lab, start, 401),
            ("token of lab1", "slt_wrong", start, 401),
        ):
            checked(requests.post(through(name, token) + path, timeout=10), "error", status)
        refused = requests.get(f"{url}{BASE}/requests/", timeout=10)
        checked(refused, "error", 401)
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert requests.get(through("token of reader", reader) + "/segmentation/pending-requests/").status_code == 403
        worker.close()


NAMES = (("lab1", "work"), ("server", "submit"), ("reader", "read"))


def test_with_both_a_client_needs_the_network_and_the_credentials(tmp_path: Path) -> None:
    made = settings_of(tmp_path, gateway_mri="basic", gateway_mri_networks="10.20.0.0/16")
    token = token_for(made, "lab1", SCOPES)
    closed = made.model_copy(update={"gateway_auth": "token"})
    known, unknown = (("GET", f"{BASE}/pending-requests/", headers) for headers in (basic("token of lab1", token), {}))
    assert statuses(closed, "10.20.0.1", [known, unknown]) == [200, 401]
    assert statuses(closed, "10.30.0.1", [known, unknown]) == [403, 403]


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic YQ==", "Bearer slt_x", "Basic /w==", "basic " + "A" * 5]
)
def test_a_header_without_credentials_is_no_user_and_no_password(header: str) -> None:
    assert credentials_of(header) == ("", "")


def test_credentials_keep_every_colon_of_the_password() -> None:
    assert credentials_of("bAsIc " + base64.b64encode(b"lab 1:a:b").decode()) == ("lab 1", "a:b")


def test_an_address_that_is_none_is_in_no_network() -> None:
    assert not any(is_within(peer, ("0.0.0.0/0", "::/0")) for peer in ("", "testclient", "10.0.0.1, 10.0.0.2"))


def test_a_gateway_whose_setting_does_not_fit_does_not_start_and_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as bare:
        Gateway(settings_of(tmp_path, gateway_mri="networks"))
    assert "SLUICE_GATEWAY_MRI_NETWORKS" in str(bare.value)
    with pytest.raises(StartupError) as unserved:
        Gateway(memory_settings(tmp_path, gateway_mri="basic"))
    assert "mri-lab" in str(unserved.value.next_step)


def test_the_old_name_of_the_setting_is_read_and_a_wrong_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_LOCAL_INFERENCE", "true")
    monkeypatch.setenv("SLUICE_GATEWAY_MRI_NETWORKS", "10.20.0.0/16,192.0.2.7")
    monkeypatch.setenv("SLUICE_GATEWAY_MRI_NAMES", '{"series_id": "orthanc_series_id"}')
    made = load_settings()
    assert (made.use_local_inference, made.gateway_mri_networks) == (True, ("10.20.0.0/16", "192.0.2.7"))
    assert made.gateway_mri_names == {"series_id": "orthanc_series_id"}
    monkeypatch.setenv("SLUICE_GATEWAY_MRI_NETWORKS", "10.20.0.1/16")
    with pytest.raises(UsageError, match="SLUICE_GATEWAY_MRI_NETWORKS"):
        load_settings()
    monkeypatch.delenv("SLUICE_GATEWAY_MRI_NETWORKS")
    monkeypatch.setenv("USE_LOCAL_INFERENCE", "perhaps")
    with pytest.raises(UsageError, match="USE_LOCAL_INFERENCE is invalid"):
        load_settings()
