"""The services beside the stack, and the log event that makes them ready."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams.settings import Settings
from streams.stack import LocalStack, ServiceSpec
from streams.stack.services import has_logged, process_counts, services

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def line(event: str, at: datetime = NOW) -> str:
    return json.dumps({"event": event, "timestamp": at.isoformat().replace("+00:00", "Z")}) + "\n"


def log_with(path: Path, *lines: str) -> Path:
    log = path / "service.log"
    log.write_text("".join(lines))
    return log


def test_a_service_is_ready_once_it_has_logged_so(tmp_path: Path) -> None:
    assert has_logged(log_with(tmp_path, line("starting"), line("ready")), "ready", NOW)


def test_an_event_logged_by_an_earlier_process_does_not_count(tmp_path: Path) -> None:
    log = log_with(tmp_path, line("ready", NOW - timedelta(seconds=1)))
    assert not has_logged(log, "ready", NOW)


@pytest.mark.parametrize("text", ["ready\n", '{"event": "ready"}\n', '{"event": "not ready yet"}\n', "[1, 2] ready\n"])
def test_a_line_that_only_mentions_the_event_does_not_count(tmp_path: Path, text: str) -> None:
    assert not has_logged(log_with(tmp_path, text), "ready", NOW)


def test_a_service_without_a_log_is_not_ready(tmp_path: Path) -> None:
    assert not has_logged(tmp_path / "no.log", "ready", NOW)


def started(tmp_path: Path, **settings: object) -> dict[str, tuple[str, ...]]:
    chosen = Settings.model_validate({"home": tmp_path, "sinks": 1, "light_workers": 1, **settings})
    return {service.name: service.argv[4:] for service in services(chosen, LocalStack(tmp_path), {"A": "b"})}


def test_each_processor_has_a_worker_of_its_own(tmp_path: Path) -> None:
    assert started(tmp_path, processors=("echo", "embed")) == {
        "sink": ("sink",),
        "timekeeper": ("timekeeper",),
        "gateway": ("gateway",),
        "worker-echo": ("worker", "echo"),
        "worker-embed": ("worker", "embed"),
    }


def test_only_sinks_and_light_workers_run_more_than_once(tmp_path: Path) -> None:
    names = started(tmp_path, processors=("echo", "embed"), sinks=3, light_workers=2)
    assert list(names) == [
        *("sink", "sink.2", "sink.3", "timekeeper", "gateway", "worker-echo", "worker-echo.2", "worker-embed")
    ]
    assert names["sink.3"] == ("sink",)
    assert names["worker-echo.2"] == ("worker", "echo")


def test_the_cores_say_how_many_run_unless_a_setting_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.stack.services.usable_cores", lambda: 16)
    assert process_counts(Settings(home=tmp_path, partitions=12)) == (6, 2)
    assert process_counts(Settings(home=tmp_path, partitions=4)) == (4, 2)
    assert process_counts(Settings(home=tmp_path, partitions=12, sinks=2)) == (2, 2)
    assert process_counts(Settings(home=tmp_path, partitions=12, light_workers=5)) == (6, 5)


def test_a_worker_has_the_time_of_a_load_to_start_in_and_a_minute_more(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, processors=("echo",), sinks=1, light_workers=1, load_timeout_s=500)
    limits = {each.name: each.start_seconds for each in services(settings, LocalStack(tmp_path), {})}
    assert (limits["worker-echo"], limits["sink"]) == (560.0, 60.0)


def test_a_notifier_runs_only_where_it_is_a_service(tmp_path: Path) -> None:
    assert "notify" not in started(tmp_path)
    assert started(tmp_path, notify="service")["notify"] == ("notify",)


def test_the_gateway_has_a_port_of_its_own_and_lets_everyone_in_on_this_machine(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path)
    (gateway,) = [each for each in services(Settings(home=tmp_path), stack, {}) if each.name == "gateway"]
    address = gateway.env["SLUICE_GATEWAY_ADDRESS"]
    assert gateway.facts["address"] == f"http://{address}"
    assert gateway.env["SLUICE_GATEWAY_AUTH"] == "open"
    set_by_hand = Settings(home=tmp_path, gateway_address="0.0.0.0:80")
    (gateway,) = [each for each in services(set_by_hand, stack, {}) if each.name == "gateway"]
    assert gateway.env["SLUICE_GATEWAY_ADDRESS"] == "0.0.0.0:80"


def test_the_gateways_address_restarts_no_other_service(tmp_path: Path) -> None:
    def facts(addresses: dict[str, str]) -> Mapping[str, str]:
        return services(Settings(home=tmp_path), LocalStack(tmp_path), addresses)[0].facts

    assert facts({"SLUICE_GATEWAY_URL": "http://127.0.0.1:9000"}) == facts({})


def test_services_get_the_stacks_addresses(tmp_path: Path) -> None:
    specs = services(Settings(home=tmp_path), LocalStack(tmp_path), {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert all(service.env["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:1" for service in specs)
    assert all(service.env["SLUICE_HOME"] == str(tmp_path) for service in specs)


def test_a_service_that_runs_already_is_ready_however_old_its_event_is(tmp_path: Path) -> None:
    settings, stack = Settings(home=tmp_path, processors=("echo",), sinks=1, light_workers=1), LocalStack(tmp_path)
    running = ServiceSpec(name="sink", argv=("sleep", "60"), log=stack.log("sink"), env={})
    stack.run([running])
    try:
        ready = {service.name: service.ready() for service in services(settings, stack, {})}
    finally:
        stack.down()
    assert ready == {"sink": True, "timekeeper": False, "gateway": False, "worker-echo": False}


def test_on_the_local_stack_a_callback_may_go_to_this_machine_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allowed() -> str:
        sink = services(Settings(home=tmp_path), LocalStack(tmp_path), {})[0]
        return sink.env["SLUICE_CALLBACK_ALLOW"]

    monkeypatch.delenv("SLUICE_CALLBACK_ALLOW", raising=False)
    assert allowed() == "localhost"
    monkeypatch.setenv("SLUICE_CALLBACK_ALLOW", "10.0.0.0/8")
    assert allowed() == "10.0.0.0/8"


def test_a_router_is_started_once_it_has_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "router" not in started(tmp_path)
    assert started(tmp_path, router_rules="rules.toml")["router"] == ("router",)
    monkeypatch.chdir(tmp_path)
    chosen = Settings.model_validate({"home": tmp_path, "router_rules": "rules.toml"})
    (router,) = [each for each in services(chosen, LocalStack(tmp_path), {"A": "b"}) if each.name == "router"]
    assert router.env["SLUICE_ROUTER_RULES"] == str(tmp_path / "rules.toml")
