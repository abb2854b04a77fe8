"""`sluice status` joins the stack's records with the answers of the services."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streams.admin.lag import Lag
from streams.cli import service_status
from streams.cli.check import Severity
from streams.cli.doctor_services import services
from streams.cli.pause import processors
from streams.cli.service_status import Overview, collect, merge
from streams.cli.status import paragraphs
from streams.health.ask import HealthAnswer
from streams.health.service_files import ServiceFile
from streams.settings import Settings
from streams.stack import ComponentState
from streams.testing import Flow

NOW = datetime.now(UTC)
ENGINE = {
    "processor": "embed",
    "versions": ["1", "2"],
    "device": "cpu",
    "in_flight": 3,
    "published": 17,
    "paused": True,
}
FALLBACK = {"device_fallback": True, "device_reason": "running on the CPU, because CUDA does not work here: no driver"}


def started(name: str, pid: int | None) -> ComponentState:
    return ComponentState(name, pid is not None, Path(f"/logs/{name}.log"), pid, rss=50_000_000, started_at=NOW)


def answer(service: str, pid: int, *, host: str = "", fault: str | None = None, **fields: Any) -> HealthAnswer:
    service_file = ServiceFile(
        service, host or socket.gethostname(), pid, "http://127.0.0.1:1", NOW, ("embed",) * (service == "worker")
    )
    status = {"alive": True, "ready": True, "reasons": [], **fields}
    return HealthAnswer(service_file, None if fault else status, fault)


def printed(*services: Any, lag: tuple[Lag, ...] = ()) -> str:
    return "\n".join(paragraphs(Overview((started("kafka", 1),), services, lag)))


def test_a_service_that_up_started_is_one_row_with_its_own_answer() -> None:
    (service,) = merge([started("worker-embed", 7)], [answer("worker", 7, engines=[ENGINE])])
    assert (service.name, service.state, service.by_hand, service.engines) == ("worker-embed", "ready", False, [ENGINE])


def test_a_service_started_by_hand_is_shown_too() -> None:
    first, second = merge(
        [started("sink", 7)], [answer("sink", 7), answer("worker", 9, ready=False, reasons=["starting"])]
    )
    assert (first.name, second.name, second.by_hand, second.state) == ("sink", "worker embed", True, "not ready")
    assert "worker embed: starting" in printed(first, second)


def test_a_service_that_died_is_shown_as_stopped_with_its_log() -> None:
    (service,) = merge([started("sink", None)], [])
    assert not Overview((), [service]).healthy
    assert "stopped" in printed(service)
    assert "/logs/sink.log" in printed(service)


def test_a_service_that_hangs_is_not_healthy_and_one_that_waits_is() -> None:
    hung = merge([], [answer("sink", 9, alive=False, ready=False, reasons=["the sink's loop has not turned for 75 s"])])
    assert not Overview((), hung).healthy
    assert "hung" in printed(*hung)
    waiting = merge([], [answer("sink", 9, ready=False, reasons=["Postgres did not answer"])])
    assert Overview((), waiting).healthy


def test_a_service_that_can_not_be_asked_counts_as_running_and_the_reason_is_shown() -> None:
    elsewhere = merge(
        [], [answer("sink", 9, host="elsewhere", fault="it runs on elsewhere and can only be asked there")]
    )
    assert [service.state for service in elsewhere] == ["running"]
    assert "it runs on elsewhere" in printed(*elsewhere)


def test_the_same_pid_on_another_machine_is_another_service() -> None:
    services = merge([started("sink", 7)], [answer("worker", 7, host="elsewhere", fault="elsewhere")])
    assert [service.name for service in services] == ["sink", "worker embed"]


def test_a_processor_is_shown_with_device_versions_and_pause() -> None:
    text = printed(*merge([started("worker-embed", 7)], [answer("worker", 7, engines=[ENGINE | FALLBACK])]))
    assert "embed      1,2      cpu" in text
    assert "paused, CPU fallback" in text
    assert "embed is running on the CPU, because CUDA does not work here: no driver" in text


def test_the_lag_is_shown_by_group_and_topic() -> None:
    lag = (Lag("workers.embed", "requests.embed", 12, 3.14), Lag("workers.embed", "requests.embed.bulk", 0))
    text = printed(lag=(*lag, Lag("workers.echo", "requests.echo", None)))
    assert "workers.embed   12         3.1 s   requests.embed 12" in text
    assert "workers.echo    no commit  -       -" in text


def test_the_tables_fit_a_hundred_columns() -> None:
    services = merge([started("worker-segmentation", 71234)], [answer("worker", 71234, engines=[ENGINE | FALLBACK])])
    lag = (Lag("workers.segmentation", "requests.segmentation", 1_000_000), Lag("sink", "results.segmentation", 9))
    tables = list(paragraphs(Overview((started("kafka", 1),), services, lag)))[:3]
    assert max(len(line) for table in tables for line in table.splitlines()) <= 100


CIRCUIT = {"state": "open", "since": "2026-01-02T12:00:00+00:00", "reason": "its last 5 jobs failed alike", "opened": 2}


def test_a_circuit_that_is_not_closed_is_shown_with_its_reason() -> None:
    sick = ENGINE | {"circuit": CIRCUIT}
    text = printed(*merge([started("worker-embed", 7)], [answer("worker", 7, ready=False, engines=[sick])]))
    assert "circuit open" in text
    assert "embed: circuit open since 2026-01-02T12:00:00+00:00, left its group 2 times: its last 5 jobs failed" in text


@pytest.mark.parametrize("engine", [ENGINE, ENGINE | {"circuit": {"state": "closed"}}, ENGINE | {"circuit": None}])
def test_a_closed_circuit_is_not_mentioned(engine: dict[str, Any]) -> None:
    assert "circuit" not in printed(*merge([started("worker-embed", 7)], [answer("worker", 7, engines=[engine])]))


def test_doctor_and_processors_name_an_open_circuit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sick = answer("worker", 7, engines=[ENGINE | {"circuit": CIRCUIT, "processor": "echo"}])
    monkeypatch.setattr("streams.health.ask.ask_all", lambda _: [sick])
    with Flow("echo") as flow:
        monkeypatch.setattr("streams.settings.load_settings", lambda: flow.settings)
        problems = [check for check in services(flow.settings) if check.severity is Severity.PROBLEM]
        assert [check.detail.split(" since")[0] for check in problems] == ["echo: circuit open"]
        processors(json=True)
        (echo,) = [view for view in json.loads(capsys.readouterr().out) if view["name"] == "echo"]
        assert echo["circuits"][0]["reason"] == "its last 5 jobs failed alike"
        processors()
        assert "open at worker embed: its last 5 jobs failed alike" in capsys.readouterr().out


def lab_machine(monkeypatch: pytest.MonkeyPatch, home: Path, **status: Any) -> Overview:
    found = answer("worker", 9, gateway="https://gateway.example", **status)
    monkeypatch.setattr(service_status, "ask_all", lambda _: [found])
    return collect(Settings(home=home))


def test_a_lab_machine_is_asked_for_its_workers_and_not_for_kafka(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overview = lab_machine(monkeypatch, tmp_path, reachable=True)
    assert overview.healthy
    assert (overview.components, overview.lag_error) == ((), None)


def test_a_lab_machine_whose_gateway_is_away_is_not_healthy_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    away = "The gateway at https://gateway.example did not answer: ConnectError"
    overview = lab_machine(monkeypatch, tmp_path, reachable=False, ready=False, reasons=[away])
    assert not overview.healthy
    assert away in "\n".join(paragraphs(overview))
