"""Workers of the polling contract that come back when their time is over: what still counts, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.harness.gateway_app import memory_settings
from tests.harness.mri_hospital import SETTINGS, Hospital, hospital_on
from tests.harness.old_mri_worker import OldWorker, checked
from tests.harness.waiting import wait_until


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    settings = SETTINGS | {"gateway_mri_offer_s": 0.2, "gateway_mri_lease_s": 0.2}
    with hospital_on(memory_settings(tmp_path_factory.mktemp("hospital"), **settings)) as made:
        yield made


def given_up(lab: Hospital, worker: OldWorker) -> dict[str, Any]:
    """Start a request, let the worker take it, and wait until its lease is over and no worker has the request."""
    lab.start()
    request = lab.request_for(worker)
    checked(worker.report(request), "updated")
    wait_until(lambda: lab.lease(request["job_id"]).state == "waiting", lambda: str(lab.lease(request["job_id"])))
    return request


def test_a_success_counts_after_the_lease_if_no_other_worker_has_the_request(lab: Hospital) -> None:
    worker = lab.machine("slow")
    request = given_up(lab, worker)
    assert checked(worker.complete(request), "updated")["status"] == "completed"
    done = lab.wait(request["job_id"], "COMPLETED")
    assert (done.output["found"], lab.machine("other").poll()) == (True, None)
    assert checked(worker.complete(request), "updated")["status"] == "completed"
    assert lab.results().count(request["job_id"]) == 1


def test_a_failure_after_the_lease_ends_nothing_and_a_report_takes_the_request_up_again(lab: Hospital) -> None:
    worker = lab.machine("slow")
    request = given_up(lab, worker)
    late = checked(worker.complete(request, {"success": False, "error": "killed"}), "error", 409)
    assert late["code"] == "LEASE_LOST"
    checked(worker.report(request), "updated")
    checked(worker.complete(request), "updated")
    lab.wait(request["job_id"], "COMPLETED")


def test_a_request_that_was_never_handed_out_or_is_cancelled_cannot_be_completed(lab: Hospital) -> None:
    worker = lab.machine("slow")
    request = given_up(lab, worker)
    job, run, fence = request["request_id"].split(".")
    for other in (f"{job}.{run}.{int(fence) + 1}", f"{job}.1.{fence}", f"{job}.{run}.0"):
        assert worker.complete({"request_id": other}).status_code in (404, 409)
    answer = requests.post(f"{lab.gateway}/v1/jobs/{job}/cancel", timeout=10)
    assert answer.status_code < 300, answer.text
    assert checked(worker.complete(request), "error", 409)["code"] in ("LEASE_LOST", "CONFLICT")
