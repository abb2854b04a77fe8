"""`sluice doctor` and `sluice up` name a port that is taken or differs, and a backend that no callback reaches."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from schemas.errors import UsageError
from streams.callback_settings import BACKEND_PORT
from streams.cli import doctor_callbacks
from streams.cli.check import Check, Severity
from streams.cli.doctor_callbacks import callback_backend, gateway_port
from streams.cli.doctor_declarations import callback_shapes
from streams.cli.up import check_gateway_port
from streams.gateway_settings import FORMER_PORT, GATEWAY_PORT
from streams.settings import Settings
from streams.stack import LocalStack
from streams.stack.events import StackEvent
from streams.stack.ports import HOST
from streams.stack.services import services
from tests.harness.source_tree import ROOT


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free(taken: int) -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def only(checks: list[Check]) -> Check:
    [check] = checks
    return check


def test_the_former_port_is_named_wherever_a_setting_has_it(tmp_path: Path) -> None:
    old = Settings(
        home=tmp_path,
        gateway_address=f"0.0.0.0:{FORMER_PORT}",
        gateway_url=f"http://inference:{FORMER_PORT}/",
        django_url=f"http://web:{FORMER_PORT}",
    )
    named = [check.detail.split(" has ")[0] for check in gateway_port(old) if "former" in check.detail]
    assert named == ["SLUICE_GATEWAY_ADDRESS", "SLUICE_GATEWAY_URL", "the backend's URL"]


def test_a_gateways_port_that_another_program_uses_is_named(tmp_path: Path, taken: int) -> None:
    check = only(gateway_port(Settings(home=tmp_path, gateway_address=f"{HOST}:{taken}")))
    assert (check.severity, f"port {taken} is in use" in check.detail) == (Severity.WARNING, True)


def test_a_port_that_backends_do_not_call_is_named(tmp_path: Path, free: int) -> None:
    check = only(gateway_port(Settings(home=tmp_path, gateway_address=f"{HOST}:{free}")))
    assert check.severity is Severity.WARNING
    assert f"port {free}" in check.detail
    assert f":{GATEWAY_PORT}" in check.detail


def test_up_refuses_a_port_that_is_set_and_taken_and_names_one_that_differs(
    tmp_path: Path, taken: int, free: int
) -> None:
    said: list[StackEvent] = []

    def up_with(port: int) -> None:
        settings, stack = Settings(home=tmp_path, gateway_address=f"{HOST}:{port}"), LocalStack(tmp_path)
        check_gateway_port(stack, services(settings, stack, {}), said.append)

    with pytest.raises(UsageError, match=f"Port {taken} of SLUICE_GATEWAY_ADDRESS is in use"):
        up_with(taken)
    up_with(free)
    up_with(0)
    assert [event.message for event in said] == [
        f"the gateway gets port {free}: a backend that calls :{GATEWAY_PORT} does not reach it"
    ]


def test_a_backend_that_accepts_no_connection_is_named_before_a_callback_fails(taken: int, free: int) -> None:
    reached = only(callback_backend(Settings(django_url=f"http://{HOST}:{taken}/cdss")))
    assert (reached.severity, reached.detail) == (Severity.OK, f"a callback to localhost goes to {HOST}:{taken}")
    away = only(callback_backend(Settings(django_url=f"http://{HOST}:{free}")))
    assert (away.severity, f"{HOST}:{free}" in away.detail) == (Severity.WARNING, True)
    assert only(callback_backend(Settings(django_url="web:8000"))).severity is Severity.PROBLEM


def test_in_a_container_without_the_setting_doctor_says_that_callbacks_to_localhost_stay_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int, free: int
) -> None:
    monkeypatch.setattr(doctor_callbacks, "CONTAINER_FILES", (tmp_path / "no",))
    assert only(callback_backend(Settings())).severity is Severity.OK
    monkeypatch.setattr(doctor_callbacks, "CONTAINER_FILES", (tmp_path,))
    monkeypatch.setattr(doctor_callbacks, "BACKEND_PORT", taken)
    assert only(callback_backend(Settings())).severity is Severity.OK
    monkeypatch.setattr(doctor_callbacks, "BACKEND_PORT", free)
    check = only(callback_backend(Settings()))
    assert check.severity is Severity.WARNING
    assert "DJANGO_URL" in str(check.next_step)


def test_doctor_says_that_a_brain_tumour_backend_needs_callbacks_in_its_own_shape(tmp_path: Path) -> None:
    assert only(callback_shapes(Settings(home=tmp_path))).severity is Severity.OK
    check = only(callback_shapes(Settings(home=tmp_path, gateway_brain_tumour=True)))
    assert check.severity is Severity.WARNING
    assert "docs/callback_shapes/brain_tumour.toml" in str(check.next_step)
    both = only(callback_shapes(Settings(home=tmp_path, gateway_brain_tumour=True, gateway_video=True)))
    assert "SLUICE_GATEWAY_BRAIN_TUMOUR and SLUICE_GATEWAY_VIDEO" in both.detail
    assert "docs/callback_shapes/video_analysis.toml" in str(both.next_step)


def test_the_compose_file_and_the_documents_have_the_same_ports() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())
    assert compose["services"]["gateway"]["ports"] == [f"127.0.0.1:{GATEWAY_PORT}:{GATEWAY_PORT}"]
    assert compose["services"]["gateway"]["environment"]["SLUICE_GATEWAY_ADDRESS"] == f"0.0.0.0:{GATEWAY_PORT}"
    assert Settings().gateway_address.endswith(f":{GATEWAY_PORT}")
    assert f"http://HOST:{BACKEND_PORT}" in (ROOT / "docs" / "operations.md").read_text()
