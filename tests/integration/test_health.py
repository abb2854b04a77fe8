"""Each service reports whether it is alive and ready, also while a dependency is away, and stops within its bound."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ExitCode
from schemas.records import EchoInput
from streams.cli.check import Severity
from streams.cli.doctor_services import services as checks_of_services
from streams.client.submitter import Submitter
from streams.health.ask import ask_all, get
from streams.health.service_files import running as running_services
from streams.health.watchdog import CLOSE_S
from streams.settings import Settings
from streams.stack import LocalStack
from tests.harness.frozen import frozen, kafka_port, postgres_port, wait_until_kafka_is_back
from tests.harness.services import SLUICE, Service, environment, running
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the addresses of a stack of this file's own, because it freezes Kafka and Postgres."""
    own = LocalStack(tmp_path_factory.mktemp("stack"))
    try:
        yield own.up().env()
    finally:
        own.down()


COMMANDS = ["worker", "echo", "--device", "cpu"], ["sink"], ["timekeeper"], ["notify"]


def answers(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the status of each running service, by its name."""
    return {answer.service_file.service: answer.status or {} for answer in ask_all(settings.home)}


def wait_until_ready(settings: Settings, count: int) -> None:
    def ready() -> bool:
        statuses = answers(settings)
        return len(statuses) == count and all(status.get("ready") for status in statuses.values())

    wait_until(ready, lambda: f"not all are ready: {answers(settings)}")


def reasons_of_all(settings: Settings) -> dict[str, str]:
    """Wait until no service is ready; return the reasons of each."""
    statuses: dict[str, dict[str, Any]] = {}

    def ready() -> bool:
        statuses.update(answers(settings))
        return not any(status["ready"] for status in statuses.values())

    wait_until(ready, lambda: f"some are ready still: {statuses}")
    return {name: " ".join(status["reasons"]) for name, status in statuses.items()}


def livez(settings: Settings, service: str) -> int:
    (note,) = [note for note in running_services(settings.home) if note.service == service]
    return get(note.url, "/livez")[0]


def test_services_report_their_health_when_all_is_well_and_when_a_dependency_does_not_answer(
    settings: Settings,
) -> None:
    hasty = settings.model_copy(update={"drain_s": 0.0})
    with running(hasty, *COMMANDS) as services:
        wait_until_ready(settings, 4)
        statuses = answers(settings)
        (engine,) = statuses["worker"]["engines"]
        assert (engine["processor"], engine["device"], engine["versions"]) == ("echo", "cpu", {"1": 100.0})
        assert (engine["in_flight"], engine["paused"]) == (0, False)
        assert engine["partitions"] > 0
        assert engine["child_rss"] > 1_000_000
        assert statuses["sink"]["partitions"] > 0
        assert statuses["timekeeper"]["role"] == "leader"

        assert_status_shows(settings)

        with frozen(kafka_port(settings), postgres_port(settings)):
            reasons = reasons_of_all(settings)
            assert "Kafka did not answer" in reasons["worker"]
            assert "Postgres did not answer" in reasons["sink"]
            assert "Kafka did not answer" in reasons["timekeeper"]
            assert "Postgres did not answer" in reasons["timekeeper"]
            assert "Postgres did not answer" in reasons["notify"]
            assert {name: livez(settings, name) for name in reasons} == dict.fromkeys(reasons, 200)
        wait_until_ready(settings, 4)

        with frozen(kafka_port(settings), postgres_port(settings)):
            asked = time.monotonic()
            for service in services:
                service.process.terminate()
            ended = {service.log.stem: service.process.wait(CLOSE_S + 10) for service in services}
            assert time.monotonic() - asked < CLOSE_S + 10
        assert set(ended.values()) <= {ExitCode.OK, ExitCode.INTERNAL}
        for service in services:
            assert_it_said_why(service.log, ended[service.log.stem])
    assert running_services(settings.home) == []
    wait_until_kafka_is_back(settings)


def assert_status_shows(settings: Settings) -> None:
    """Check that `sluice status` and `sluice doctor` find services that were started by hand, too."""
    done = subprocess.run([SLUICE, "status", "--json"], env=environment(settings), capture_output=True, timeout=60)
    assert done.returncode == ExitCode.OK, done.stderr
    seen = json.loads(done.stdout)
    assert {each["name"]: each["ready"] for each in seen["services"]} == {
        "worker echo": True,
        "sink": True,
        "timekeeper": True,
        "notify": True,
    }
    (engine,) = [engine for each in seen["services"] for engine in each["status"].get("engines", [])]
    assert (engine["processor"], engine["device"]) == ("echo", "cpu")
    assert {lag["records"] for lag in seen["lag"] if lag["group"].endswith("workers.echo")} == {0}
    checks = {check.name: check.severity for check in checks_of_services(settings)}
    assert checks == dict.fromkeys(["worker echo", "sink", "timekeeper", "notify"], Severity.OK)


def assert_it_said_why(log: Path, status: int) -> None:
    """Check the log: a service that was ended by force shows where it hung; one that stopped by itself says so."""
    events = [json.loads(line)["event"] for line in log.read_text().splitlines() if line.startswith("{")]
    assert ("stop_timed_out" in events) == (status == ExitCode.INTERNAL)
    assert ("stopped" in events) == (status == ExitCode.OK)


def test_a_worker_at_its_in_flight_limit_is_alive_and_ready(settings: Settings) -> None:
    with Submitter(settings) as submitter:
        for _ in range(2200):  # echo holds 2,000 at most
            submitter.submit_nowait("echo", EchoInput("x", delay_ms=1500))
    impatient = settings.model_copy(update={"max_batch": 100, "drain_s": 0.0, "health_patience_s": 0.7})
    worker = Service(impatient, ["worker", "echo", "--device", "cpu"])
    try:
        wait_until(lambda: in_flight(settings) >= 1900, lambda: f"{in_flight(settings)} in flight")
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            (status,) = answers(settings).values()
            assert (status["alive"], status["ready"]) == (True, True), status["reasons"]
        assert in_flight(settings) >= 1900
    finally:
        worker.kill()
    assert running_services(settings.home) == []


def in_flight(settings: Settings) -> int:
    return max((e["in_flight"] for a in answers(settings).values() for e in a.get("engines", [])), default=0)
