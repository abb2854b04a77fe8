"""The audit as a service: rounds over what is new, each finding logged once, and canary jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.errors import UnknownProcessor, UsageError
from streams.audit.canary import TENANT, Canary
from streams.audit.scope import Scope
from streams.audit.service import AuditService
from streams.testing.flow import Flow
from tests.harness.settled_flow import OUTCOMES, Settled
from tests.harness.waiting import wait_until


class Rounds:
    """A service whose rounds are started by hand, ten seconds apart."""

    def __init__(self, flow: Flow, resources: ExitStack) -> None:
        self.flow, self.stop = flow, threading.Event()
        self.service = AuditService(flow.settings, Scope(), 60.0, None)
        self._auditor = self.service.open_auditor(resources, self.stop)

    def round(self, after_s: float = 10.0) -> list[Any]:
        """Do a round; return the findings that it logged."""
        self.flow.advance(after_s)
        with capture_logs() as lines:
            self.service.run_once(self._auditor, self.stop)
        return [line for line in lines if line["event"] == "audit_finding"]

    @property
    def open(self) -> int:
        return int(self.service.health(ask=False).details["open"])

    @property
    def examined(self) -> int:
        return int(self.service.health(ask=False).details["examined"])


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    with Flow("echo") as flow, ExitStack() as resources:
        yield Rounds(flow, resources)


def test_the_outcome_of_a_request_that_was_too_young_for_a_round_is_not_missed_in_the_next(rounds: Rounds) -> None:
    rounds.flow.submit("echo", {"message": "x"})
    rounds.flow.settle()
    assert rounds.round(after_s=1.0) == []
    assert rounds.examined == 0
    assert rounds.round() == []
    assert rounds.examined == 1


def test_each_round_audits_what_is_new_and_what_was_still_open(rounds: Rounds) -> None:
    assert not rounds.service.health(ask=False).ready
    Settled(rounds.flow)
    assert rounds.round() == []
    assert (rounds.examined, rounds.open) == (7, 0)
    waiting = rounds.flow.submit("echo", {"message": "x"})
    rounds.flow.settle(worker=False)
    assert rounds.round() == []
    assert (rounds.examined, rounds.open) == (7, 1)
    rounds.flow.settle()
    assert rounds.flow.job(waiting).state == "COMPLETED"
    assert rounds.round() == []
    assert (rounds.examined, rounds.open) == (8, 0)
    assert rounds.service.health(ask=False).ready


def test_requests_that_are_too_new_are_left_to_the_next_round(rounds: Rounds) -> None:
    rounds.flow.submit("echo", {"message": "x"})
    rounds.flow.settle()
    rounds.round(after_s=1.0)
    assert rounds.examined == 0
    rounds.round()
    assert rounds.examined == 1


def test_a_finding_is_logged_once_with_its_job_and_the_command_to_look_further(rounds: Rounds) -> None:
    well = Settled(rounds.flow)
    well.drop(OUTCOMES)
    [line] = rounds.round()
    assert (line["kind"], line["job_id"], line["run"]) == ("not_published", well.job, 0)
    assert line["next"] == f"sluice explain {well.job}"
    assert rounds.round() == []
    assert rounds.service.health(ask=False).details["findings"] == {"not_published": 1}


def test_a_service_that_starts_again_elsewhere_finds_the_same(rounds: Rounds) -> None:
    well = Settled(rounds.flow)
    well.forget("runs")
    assert [line["kind"] for line in rounds.round()] == ["state_contradicts"]
    with ExitStack() as resources:
        assert [line["kind"] for line in Rounds(rounds.flow, resources).round()] == ["state_contradicts"]


def canary(flow: Flow, limit_s: float) -> tuple[Canary, Callable[[Callable[[], None]], Any]]:
    made = Canary(flow.settings, "echo", '{"message": "canary"}', limit_s)
    return made, lambda on_wait: made.run(threading.Event(), on_wait)


def test_a_canary_job_is_timed_to_its_outcome_and_belongs_to_a_tenant_of_its_own() -> None:
    with Flow("echo") as flow:
        _, run = canary(flow, 60.0)
        first, second = run(flow.settle), run(flow.settle)
        assert (first.state, first.late, first.ms >= 0) == ("COMPLETED", False, True)
        assert first.job_id != second.job_id
        job = flow.job(first.job_id)
        assert (job.tenant, job.labels, flow.callbacks) == (TENANT, {"canary": "audit"}, [])


def test_a_canary_job_that_does_not_end_in_time_is_reported_each_round_until_it_has_ended() -> None:
    with Flow("echo") as flow:
        _, run = canary(flow, 0.0)
        with capture_logs() as lines:
            first, second = run(lambda: None), run(lambda: None)
        late = [line for line in lines if line["event"] == "canary_late"]
        assert [line["job_id"] for line in late] == [first.job_id, first.job_id] == [second.job_id] * 2
        assert first.ms is None
        flow.settle()
        assert run(lambda: None).ms is not None
        assert run(lambda: None).job_id != first.job_id


def test_a_canary_of_no_processor_or_with_no_json_is_refused_at_the_start() -> None:
    with Flow("echo") as flow:
        with pytest.raises(UsageError):
            Canary(flow.settings, "echo", "{", 1.0)
        with pytest.raises(UnknownProcessor):
            Canary(flow.settings, "eco", "{}", 1.0)


def test_the_service_tries_again_after_an_outage_and_ends_when_it_is_stopped() -> None:
    with Flow("echo") as flow:
        service, stop = AuditService(flow.settings, Scope(("echo",)), 0.01, None), threading.Event()
        topics = dict(flow.log.topics)
        flow.log.topics.clear()
        thread = threading.Thread(target=service.run, args=(stop,))
        thread.start()
        try:
            wait_until(
                lambda: len(service.health(ask=False).reasons) == 2, lambda: "the outage does not show in health"
            )
            flow.log.topics.update(topics)
            wait_until(lambda: service.health(ask=False).ready, lambda: "it does not go on")
        finally:
            stop.set()
            thread.join(10)
        assert not thread.is_alive()
