"""Bodies of the polling contract, and offers of leases, without HTTP: what any worker may send, and what any client may do."""

from __future__ import annotations

import uuid
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import SecretStr

from connectors.lease_store import Grant, Hold
from connectors.memory import MemoryDatabase
from gateway.mri_polling import recent_offers
from gateway.mri_polling.bodies import RequestId, end_of, request_entry, threshold_of
from gateway.mri_polling.recent_offers import RecentOffers
from gateway.problems import Problem
from processors.mri_lab.contract import MRI_LAB, MriLabInput, MriLabOutput
from schemas.avsc import result_schema
from schemas.plain import to_plain
from schemas.records import JobHeader, Result, ResultInfo, Timings
from streams import wiring
from streams.settings import Settings
from tests.harness.gateway_app import memory_settings
from tests.harness.lease_rows import waiting_jobs
from tests.harness.stores import Stores

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.mark.parametrize("value", ["half", True, -0.1, 1.5, float("nan")])
def test_a_threshold_that_is_no_fraction_is_refused_with_its_range(value: object) -> None:
    with pytest.raises(Problem, match="`threshold` is not a number from 0 to 1"):
        threshold_of({"threshold": value})


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"success": True}, None),
        ({"status": "COMPLETED", "lesion_count": 0}, False),
        ({"success": True, "lesion_volume_mm3": 0.5}, True),
        ({"success": True, "lesion_count": 3.0, "lesion_volume_mm3": 0}, True),
        ({"success": True, "found": False, "lesion_count": 2}, False),
        ({"success": True, "result": {"found": True}}, True),
        ({"success": True, "found": False, "result": {"found": True}}, False),
    ],
)
def test_found_is_what_the_worker_says_or_follows_from_its_numbers(body: dict[str, Any], found: bool | None) -> None:
    output = end_of(body, {}).output
    assert output is not None
    assert output.found is found


def test_fields_have_the_old_systems_names_where_a_setting_says_so() -> None:
    names = {"series_id": "orthanc_series_id", "request_id": "pk", "lesion_volume_mm3": "tumor_volume"}
    output = end_of({"success": True, "tumor_volume": 7, "lesion_count": 1}, names).output
    assert output == MriLabOutput(lesion_volume_mm3=7.0, lesion_count=1, found=True)
    entry = request_entry(RequestId(str(uuid.uuid4()), 0, 5), MriLabInput("1.2", 0.5), NOW.isoformat(), names)
    assert (entry["orthanc_series_id"], entry["pk"]) == (entry["series_id"], entry["request_id"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "CUDA out of memory"}, "CUDA out of memory"),
        ({"error": {"message": "no series"}}, "no series"),
        ({"error": "", "message": "no\0 series\ud800"}, "no? series?"),
        ({"error_message": "x" * 5000}, "x" * 1000),
        ({}, "The worker reported a failure without a message."),
    ],
)
def test_a_failure_keeps_the_workers_words_as_text_that_every_store_takes(body: dict[str, Any], said: str) -> None:
    assert end_of({"success": False, **body}, {}).error == said


@settings(max_examples=30)
@given(st.uuids(), st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
def test_a_request_id_is_read_as_it_was_written(job: uuid.UUID, run: int, fence: int) -> None:
    made = RequestId(str(job), run, fence)
    assert RequestId.parse(str(made)) == made


@settings(max_examples=30)
@given(st.text(st.sampled_from("0123456789abcdef-."), max_size=60))
def test_any_other_text_is_an_unknown_request(text: str) -> None:
    with pytest.raises(Problem) as raised:
        RequestId.parse(text)
    assert raised.value.status == 404


values: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
)
fields = st.sampled_from((*MriLabOutput.__slots__, "success", "status", "error", "result", "message"))


@settings(max_examples=80)
@given(st.dictionaries(fields, values | st.dictionaries(fields, values, max_size=3), max_size=6))
def test_a_completion_is_a_result_that_can_be_published_or_a_bad_request(encoder: Any, body: dict[str, Any]) -> None:
    try:
        end = end_of({"success": True, **body}, {})
    except Problem as problem:
        refused = problem.status
    else:
        refused = 0
    if refused:
        assert refused == 400
        return
    info = ResultInfo("succeeded", "w", "cpu", Timings(NOW, NOW, NOW))
    encoder.encode(to_plain(Result(JobHeader("j", "mri-lab", NOW, ""), info, end.output)))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = memory_settings(tmp_path_factory.mktemp("home"), processors=("mri-lab",))
    return wiring.codec(made).encoder("results.mri-lab-value", result_schema(MRI_LAB))


def test_a_client_is_given_nothing_during_its_pause_and_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, hold = [0.0], Hold(str(uuid.uuid4()), 0, 1)
    found = RecentOffers(60.0, lambda: now[0])
    found.offered("curl", hold)
    now[0] = 59.9
    assert (found.last_offer("curl"), found.last_offer("worker")) == (hold, None)
    now[0] = 60.0
    assert found.last_offer("curl") is None
    monkeypatch.setattr(recent_offers, "MOST_CLIENTS", 2)
    for client in ("a", "b", "c"):
        found.offered(client, hold)
    found.forget("b")
    assert [found.last_offer(client) for client in ("a", "b", "c")] == [None, None, hold]


class Offers(RuleBasedStateMachine):
    """Two polling workers and a client that only looks, whose offers and leases expire at any moment. Three jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.name = uuid.uuid4().hex
        self.stores = Stores(Settings(database_url=SecretStr(f"memory:{self.name}"), home=Path()))
        self.leases = self.stores.lease_store()
        database = MemoryDatabase.at(f"memory:{self.name}")
        assert database is not None
        self.clock = database.clock
        self.jobs = [str(job) for job in waiting_jobs(self.stores, 3)]
        self.offers: list[Grant] = []
        self.held: dict[str, Grant] = {}
        self.crashes = dict.fromkeys(self.jobs, 0)

    @rule()
    def poll(self) -> None:
        self.offers += self.leases.claim("echo", "poll", 1, 10.0, executions=1000, offered=True)

    @precondition(lambda self: self.offers)
    @rule(which=st.integers(0, 100))
    def report(self, which: int) -> None:
        grant = self.offers[which % len(self.offers)]
        if self.leases.heartbeat("poll", [grant.hold], 1800.0).renewed:
            assert self.held.get(grant.job_id, grant) == grant  # no other hand-out of the job is held
            self.held[grant.job_id] = grant

    @rule(seconds=st.sampled_from((5.0, 11.0, 1801.0)))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for out in self.leases.expire(10):
            assert not out.given_up
            assert out.offered == (out.job_id not in self.held)
            if not out.offered:
                self.crashes[out.job_id] += 1
                del self.held[out.job_id]

    @invariant()
    def only_taken_up_leases_count_and_no_job_is_lost(self) -> None:
        for job in self.jobs:
            found = self.leases.find(job, 0)
            assert found is not None
            assert (found.crashes, found.execution) == (self.crashes[job], self.crashes[job] + 1)
            assert (found.state == "held") == (job in self.held)

    def teardown(self) -> None:
        with suppress(Exception), closing(self.stores):
            MemoryDatabase.forget(self.name)


TestOffers = Offers.TestCase
TestOffers.settings = settings(max_examples=25, stateful_step_count=20)
