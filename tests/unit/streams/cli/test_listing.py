"""`sluice jobs`, `processors`, `status`, `up` and `doctor`: what they list and refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.views import OverdueView
from schemas.errors import ExitCode, UnknownProcessor, UsageError
from streams.admin.changes import Change, ChangeKind
from streams.cli.check import Severity
from streams.cli.doctor_checks import overdue, paused, topics
from streams.cli.doctor_services import services
from streams.cli.jobs import jobs
from streams.cli.pause import processors
from streams.cli.service_status import Overview
from streams.cli.status import paragraphs
from streams.cli.up import up
from streams.settings import Settings
from streams.stack import ComponentState, LocalStack, Restarts
from streams.stack.restarts import write_restarts
from streams.testing import Flow

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    with Flow("echo") as made:
        monkeypatch.setattr("streams.settings.load_settings", lambda: made.settings)
        yield made


def test_a_misspelt_processor_has_no_empty_table_but_the_nearest_name(flow: Flow) -> None:
    with pytest.raises(UnknownProcessor) as caught:
        jobs(processor="ehco")
    assert "Did you mean 'echo'?" in str(caught.value.next_step)
    assert jobs(processor="echo") == ExitCode.OK


def test_the_state_of_a_processor_is_in_the_json_too(flow: Flow, capsys: pytest.CaptureFixture[str]) -> None:
    flow.pause("echo")
    flow.settle()
    processors(json=True)
    states = {view["name"]: view["state"] for view in json.loads(capsys.readouterr().out)}
    assert states["echo"] == "paused"
    assert set(states.values()) <= {"paused", "running"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"only": ("wrker-echo",)}, "Unknown service 'wrker-echo'"),
        ({"only": ("sink",), "no_services": True}, "combined"),
    ],
)
def test_up_refuses_wrong_options_before_it_starts_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: dict[str, object], problem: str
) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError, match=problem):
        up(**arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "home").exists()


def overview(**fields: object) -> Overview:
    kafka = ComponentState("kafka", True, Path("/logs/kafka.log"), 1)
    return Overview((kafka,), (), **fields)  # type: ignore[arg-type]


def test_kafka_out_of_reach_is_not_healthy_wherever_it_runs() -> None:
    assert overview().healthy
    assert not overview(lag_error="Kafka did not answer.", kafka_unreachable=True).healthy


def failing(times: int) -> Restarts:
    failed = Restarts("sink")
    for _ in range(times):
        failed = failed.failed("has died", "error: no database", NOW)
    return failed


def test_status_and_doctor_show_a_crash_loop_with_its_error(tmp_path: Path) -> None:
    text = "\n".join(paragraphs(overview(restarts=(failing(4),))))
    assert "sink: failed 4 times, 4 times in a row" in text
    assert "error: no database" in text
    settings = Settings(home=tmp_path)
    LocalStack(tmp_path).status()
    write_restarts(tmp_path, [failing(4), Restarts("kafka").failed("has died", None, NOW)])
    found = {check.name: check for check in services(settings)}
    assert found["sink"].severity is Severity.PROBLEM
    assert "error: no database" in found["sink"].detail
    assert found["kafka"].severity is Severity.WARNING


def test_doctor_names_what_is_overdue(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.severity for check in overdue(flow.settings)] == [Severity.OK]

    def late(store: object, older_than: timedelta) -> list[OverdueView]:
        return [OverdueView("retry", 3, 125.0)]

    monkeypatch.setattr("connectors.memory.MemoryDueStore.overdue", late)
    (check,) = overdue(flow.settings)
    assert (check.severity, check.detail) == (Severity.PROBLEM, "3 retry: overdue, the oldest for 125 s")


def test_doctor_warns_of_a_paused_processor_once_jobs_wait_for_it(flow: Flow) -> None:
    flow.pause("echo")
    flow.settle()
    assert paused(flow.settings) == []
    flow.submit("echo", {"message": "x"})
    flow.settle()
    (check,) = paused(flow.settings)
    assert (check.name, check.severity) == ("echo", Severity.WARNING)
    assert check.detail.endswith("waiting jobs: 1")
    assert "`sluice resume echo`" in str(check.next_step)


def test_doctor_names_partitions_whose_offsets_are_gone(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Change(ChangeKind.RESET_OFFSETS, "workers.echo", "3 partitions: requests left the log before they were run")
    monkeypatch.setattr("streams.admin.topics.plan", lambda *_: [gone])
    (check,) = topics(flow.settings)
    assert check.severity is Severity.PROBLEM
    assert check.detail.startswith("workers.echo: 3 partitions: requests left the log")
    assert "topics apply" in str(check.next_step)
