"""The old worker's settings: what they mean here, and that a password in one of them is shown nowhere."""

from __future__ import annotations

import pytest

from schemas.errors import UsageError
from streams.cli.lab_settings import LabSettings, machine_settings
from streams.settings import Settings

URL = "https://lab1:slt_%40geheim@lab.example.org:9000/api/mri"


def machine(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name in ("DJANGO_API_URL", "DEVICE", "POLL_INTERVAL", "SLUICE_WORKER_GATEWAY", "SLUICE_GATEWAY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return machine_settings(LabSettings(), Settings())


@pytest.mark.parametrize(
    ("url", "gateway", "token"),
    [
        (URL, "https://lab.example.org:9000", "slt_@geheim"),
        ("http://lab.example.org/api/mri/", "http://lab.example.org", ""),
        ("http://[::1]:8000/api/mri", "http://[::1]:8000", ""),
    ],
)
def test_the_gateway_is_the_origin_of_the_old_api_and_its_password_the_token(
    monkeypatch: pytest.MonkeyPatch, url: str, gateway: str, token: str
) -> None:
    settings = machine(monkeypatch, DJANGO_API_URL=url)
    assert (settings.worker_gateway, settings.gateway_secret) == (gateway, token)


def test_settings_of_ours_go_before_the_parts_of_the_old_url(monkeypatch: pytest.MonkeyPatch) -> None:
    given = machine(monkeypatch, DJANGO_API_URL=URL, SLUICE_GATEWAY_TOKEN="mine")
    assert (given.worker_gateway, given.gateway_secret) == ("https://lab.example.org:9000", "mine")
    given = machine(monkeypatch, DJANGO_API_URL=URL, SLUICE_WORKER_GATEWAY="https://other")
    assert (given.worker_gateway, given.gateway_secret) == ("https://other", "")


@pytest.mark.parametrize(
    ("device", "used"), [("cuda", "auto"), ("cuda:0", "auto"), ("cuda:1", "cuda:1"), ("cpu", "cpu"), ("", "auto")]
)
def test_cuda_may_fall_back_to_the_cpu(monkeypatch: pytest.MonkeyPatch, device: str, used: str) -> None:
    assert machine(monkeypatch, DJANGO_API_URL=URL, DEVICE=device, POLL_INTERVAL="30").device == used


@pytest.mark.parametrize(
    "url", ["", "lab:geheim", "ftp://lab:geheim@host", "http://lab:geheim@host:port/", "http://:geheim@/"]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(UsageError, match="DJANGO_API_URL") as refused:
        machine(monkeypatch, DJANGO_API_URL=url)
    assert "geheim" not in str(refused.value)


def test_no_text_of_the_settings_shows_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = machine(monkeypatch, DJANGO_API_URL=URL)
    assert "geheim" not in f"{LabSettings()!r} {settings!r}"
