"""Jobs go through a whole flow in one process, from the submit to the callback."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.contract import known_processors
from schemas.errors import InvalidInput, NotFound, UnknownProcessor, UsageError
from schemas.records import EchoInput, EchoOutput
from streams.testing import Flow, run_processor
from tests.harness.processors.narrator import NARRATOR, Narrator
from tests.unit.streams.testing.shout import SHOUT, Shout

BACKEND = "http://backend.example/done"


def test_a_job_goes_from_the_submit_to_the_callback() -> None:
    with Flow("echo") as flow:
        job = flow.submit("echo", {"message": "hello"}, callback_url=BACKEND, external_id="42")
        with pytest.raises(NotFound):
            flow.job(job)
        flow.settle()
        view = flow.job(job)
        assert (view.state, view.output, view.attempt, view.external_id) == (
            "COMPLETED",
            {"message": "hello", "length": 5},
            1,
            "42",
        )
        [outcome] = flow.outcomes("echo")
        assert (outcome.header.job_id, outcome.output) == (job, EchoOutput("hello", 5))
        [callback] = flow.callbacks
        assert (callback.url, callback.job_id, callback.state, callback.event["type"]) == (
            BACKEND,
            job,
            "COMPLETED",
            "job.completed",
        )


def test_the_embedding_of_a_digit_has_unit_length() -> None:
    with Flow("embed") as flow:
        jobs = [flow.submit("embed", {"pixels": [float(n % 17)] * 64}) for n in range(3)]
        flow.settle()
        for job in jobs:
            vector = flow.job(job).output["vector"]
            assert len(vector) == 32
            assert sum(number * number for number in vector) == pytest.approx(1.0, abs=1e-4)


def test_a_class_that_is_not_installed_runs_with_the_contract_it_is_given() -> None:
    with Flow(Shout, contract=SHOUT) as flow:
        job = flow.submit("shout", {"message": "hello"})
        flow.settle()
        assert flow.job(job).output == {"message": "HELLO", "length": 5}
        assert flow.progress(job) == [("prepare", 10.0, "hm")]
        assert "shout" in known_processors()
    assert "shout" not in known_processors()


def test_several_processors_share_a_flow() -> None:
    with Flow("echo", Shout, contract=SHOUT) as flow:
        jobs = [flow.submit(name, {"message": "a"}) for name in ("echo", "shout")]
        flow.settle()
        assert [flow.job(job).output["message"] for job in jobs] == ["a", "A"]


def test_a_bad_input_fails_for_good_and_its_neighbours_do_not() -> None:
    with Flow(Shout, contract=SHOUT) as flow:
        jobs = [flow.submit("shout", {"message": text}, callback_url=BACKEND) for text in ("a", "", "bug", "b")]
        flow.settle()
        states = [flow.job(job).state for job in jobs]
        errors = [error.code for job in jobs if (error := flow.job(job).error)]
        assert states == ["COMPLETED", "FAILED", "FAILED", "COMPLETED"]
        assert errors == ["INVALID_INPUT", "PROCESSOR_ERROR"]
        assert sorted(callback.state for callback in flow.callbacks) == ["COMPLETED", "COMPLETED", "FAILED", "FAILED"]


def test_an_input_that_is_refused_never_becomes_a_job() -> None:
    with Flow("echo") as flow:
        with pytest.raises(UnknownProcessor, match="ecko"):
            flow.submit("ecko", {"message": "x"})
        with pytest.raises(InvalidInput):
            flow.submit("echo", {"text": "x"})
        flow.settle()
        assert flow.outcomes("echo") == []


# ── time ──


def test_a_failure_that_may_pass_is_tried_again_when_its_time_has_come() -> None:
    shout = Shout()
    shout.failures = 2
    with Flow(shout, contract=SHOUT) as flow:
        job = flow.submit("shout", {"message": "hello"}, callback_url=BACKEND)
        flow.settle()
        assert (flow.job(job).state, flow.job(job).due_kind) == ("RETRYING", "retry")
        flow.advance(300)
        flow.settle()
        assert flow.job(job).attempt == 2
        flow.advance(300)
        flow.settle()
        assert (flow.job(job).state, flow.job(job).attempt) == ("COMPLETED", 3)
        assert [callback.state for callback in flow.callbacks] == ["COMPLETED"]


def test_attempts_come_to_an_end() -> None:
    with Flow("echo") as flow:
        job = flow.submit("echo", {"message": "x", "fail": "CONNECTION_ERROR"}, max_attempts=2)
        for _ in range(4):
            flow.settle()
            flow.advance(300)
        view = flow.job(job)
        assert (view.state, view.attempt) == ("FAILED", 2)
        assert view.error is not None
        assert view.error.code == "CONNECTION_ERROR"


def test_a_job_that_no_worker_runs_expires_at_its_deadline() -> None:
    with Flow("echo") as flow:
        job = flow.submit("echo", {"message": "x"}, deadline=flow.now + timedelta(minutes=1), callback_url=BACKEND)
        flow.settle(worker=False)
        assert flow.job(job).state == "PENDING"
        flow.advance(61)
        flow.settle(worker=False)
        assert flow.job(job).state == "EXPIRED"
        flow.settle()  # the worker comes too late
        assert flow.job(job).state == "EXPIRED"
        assert [callback.state for callback in flow.callbacks] == ["EXPIRED"]


def test_a_retry_after_the_deadline_is_not_run() -> None:
    shout = Shout()
    shout.failures = 1
    with Flow(shout, contract=SHOUT) as flow:
        job = flow.submit("shout", {"message": "x"}, deadline=flow.now + timedelta(seconds=100))
        flow.settle()
        flow.advance(101)
        flow.settle()
        assert (flow.job(job).state, len(shout.runs)) == ("EXPIRED", 1)


def test_a_job_does_not_begin_before_its_time() -> None:
    with Flow("echo") as flow:
        job = flow.submit("echo", {"message": "x"}, not_before=flow.now + timedelta(hours=1))
        flow.settle()
        assert (flow.job(job).state, flow.job(job).due_kind) == ("PENDING", "not_before")
        flow.advance(3601)
        flow.settle()
        assert (flow.job(job).state, flow.job(job).attempt) == ("COMPLETED", 1)


def test_a_callback_is_tried_again_until_the_backend_accepts_it_and_then_no_more() -> None:
    with Flow("echo") as flow:
        flow.answer_callbacks(503)
        job = flow.submit("echo", {"message": "x"}, callback_url=BACKEND)
        flow.settle()
        [delivery] = flow.job(job).deliveries
        assert (delivery.state, [one.status for one in delivery.tries]) == ("pending", [503])
        flow.answer_callbacks(lambda url, event: 204 if url == BACKEND else 500)
        flow.advance(10)
        flow.settle()
        flow.advance(100_000)
        flow.settle()
        assert [callback.status for callback in flow.callbacks] == [503, 204]
        assert len({callback.delivery_id for callback in flow.callbacks}) == 1
        assert flow.job(job).deliveries[0].state == "delivered"


# ── cancel ──


def test_a_job_that_waits_is_cancelled_and_never_calls_back_as_completed() -> None:
    shout = Shout()
    with Flow(shout, contract=SHOUT) as flow:
        job = flow.submit("shout", {"message": "x"}, callback_url=BACKEND)
        flow.cancel(job, "not needed")
        flow.settle()
        view = flow.job(job)
        assert view.state == "CANCELLED"
        assert view.cancel is not None
        assert view.cancel.reason == "not needed"
        assert [callback.state for callback in flow.callbacks] == ["CANCELLED"]
        assert shout.runs == []


def test_a_cancel_that_comes_too_late_changes_nothing() -> None:
    with Flow("echo") as flow:
        job = flow.submit("echo", {"message": "x"}, callback_url=BACKEND)
        flow.settle()
        flow.cancel(job)
        flow.settle()
        assert flow.job(job).state == "COMPLETED"
        assert [callback.state for callback in flow.callbacks] == ["COMPLETED"]


def test_a_paused_processor_starts_nothing_until_it_is_resumed() -> None:
    with Flow("echo") as flow:
        flow.pause("echo")
        job = flow.submit("echo", {"message": "x"})
        flow.settle()
        assert flow.job(job).state == "PENDING"
        flow.resume("echo")
        flow.settle()
        assert flow.job(job).state == "COMPLETED"


def test_jobs_that_are_claimed_by_lease_are_not_for_a_flow() -> None:
    leased = replace(SHOUT, custody="lease")
    with pytest.raises(UsageError, match="by lease"), Flow(Shout, contract=leased):
        pass
    assert "shout" not in known_processors()


# ── the flow itself ──


def test_fifty_flows_do_not_affect_each_other() -> None:
    for number in range(50):
        with Flow("echo") as flow:
            job = flow.submit("echo", {"message": str(number)}, callback_url=BACKEND)
            flow.settle()
            assert flow.job(job).output == {"message": str(number), "length": len(str(number))}
            assert len(flow.outcomes("echo")) == len(flow.callbacks) == 1


def test_an_uploaded_file_can_be_claimed(tmp_path: Path) -> None:
    with Flow("echo") as flow:
        (tmp_path / "scan.nii").write_bytes(b"scan")
        claim = flow.upload(tmp_path / "scan.nii")
        assert claim.size == 4
        assert claim.uri.startswith("file://")


def test_a_flow_refuses_what_it_can_not_do() -> None:
    with pytest.raises(UsageError, match="needs a processor"):
        Flow()
    with Flow("echo") as flow:
        with pytest.raises(UsageError, match="taken, run, published"):
            flow.kill_worker("tomorrow")
        with pytest.raises(UsageError, match="nothing"):
            flow.redeliver(flow.submit("echo", {"message": "x"}), "nothing")
        with pytest.raises(NotFound):
            flow.job("01890000-0000-7000-8000-000000000001")


def test_one_job_runs_without_any_flow() -> None:
    assert run_processor("echo", {"message": "hello"}) == EchoOutput("hello", 5)
    assert run_processor(Shout, EchoInput("hello")) == EchoOutput("HELLO", 5)
    with pytest.raises(InvalidInput):
        run_processor(Shout(), {"message": ""})
    with pytest.raises(InvalidInput, match="no field text"):
        run_processor(Shout, {"text": "x"})


def test_a_flow_shows_the_text_that_a_job_streamed_in_its_last_attempt() -> None:
    with Flow(Narrator, contract=NARRATOR) as flow:
        quiet = flow.submit("narrator", {"message": "two words"})
        again = flow.submit("narrator", {"message": "three small words", "fail": "retry"})
        flow.settle()
        flow.advance(10)
        flow.settle()
        assert (flow.text(quiet), flow.text(again)) == ("two words ", "three small words ")
