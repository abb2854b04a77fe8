"""The polling contract as unchanged lab workers speak it, against a gateway with its sink and timekeeper."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import requests

from tests.harness.mri_hospital import LEASE_S, SERIES, Hospital, hospital
from tests.harness.old_mri_worker import FOUND, NOTHING_FOUND, checked
from tests.harness.waiting import wait_until


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with hospital(tmp_path_factory.mktemp("hospital")) as made:
        yield made


def test_a_request_goes_from_the_start_to_the_result_in_the_old_systems_words(lab: Hospital) -> None:
    worker = lab.machine("one")
    assert worker.poll() is None
    job = lab.start(SERIES, threshold=0.4)
    request = lab.request_for(worker)
    assert (request["job_id"], request["series_id"], request["threshold"]) == (job, SERIES, 0.4)
    assert lab.listed()[0]["status"] == "pending"
    checked(worker.report(request), "updated")
    assert lab.wait(job, "PROCESSING").stage == "processing"
    assert [(entry["job_id"], entry["status"]) for entry in lab.listed()] == [(job, "processing")]
    assert checked(worker.complete(request), "updated")["status"] == "completed"
    done = lab.wait(job, "COMPLETED")
    assert {name: done.output[name] for name in FOUND if name in done.output} == {
        name: value for name, value in FOUND.items() if name in done.output
    }
    assert (done.output["found"], done.execution) == (True, 1)
    assert [entry["status"] for entry in lab.listed() if entry["series_id"] == SERIES] == ["completed"]


def test_a_repeated_completion_is_answered_as_the_first_and_published_once(lab: Hospital) -> None:
    worker, job = lab.machine("one"), lab.start()
    request = lab.request_for(worker)
    checked(worker.report(request), "updated")
    first, second = worker.complete(request), worker.complete(request)  # the second perhaps before the sink has read it
    lab.wait(job, "COMPLETED")
    third = worker.complete(request, {"success": False, "error": "too late"})
    assert checked(first, "updated") == checked(second, "updated") == checked(third, "updated")
    assert lab.results().count(job) == 1
    refused = checked(worker.report(request), "error", 409)
    assert "COMPLETED" in refused["error"]


def test_nothing_found_is_a_result(lab: Hospital) -> None:
    worker, job = lab.machine("one"), lab.start()
    request = lab.request_for(worker)
    checked(worker.report(request), "updated")
    checked(worker.complete(request, NOTHING_FOUND), "updated")
    output = lab.wait(job, "COMPLETED").output
    assert (output["found"], output["lesion_volume_mm3"], output["lesion_count"]) == (False, 0.0, 0)


@pytest.mark.parametrize("how", ["completion", "status"])
def test_a_reported_failure_ends_the_request_with_the_workers_words(lab: Hospital, how: str) -> None:
    worker, job = lab.machine("one"), lab.start()
    request = lab.request_for(worker)
    if how == "completion":
        checked(worker.report(request), "updated")
        answer = worker.complete(request, {"success": False, "error": "CUDA out of memory"})
    else:
        url = f"{lab.url}/segmentation/update-status/{request['id']}/"
        answer = requests.post(url, json={"status": "failed", "error": "CUDA out of memory"}, timeout=10)
    assert checked(answer, "updated")["status"] == "failed"
    error = lab.wait(job, "FAILED").error
    assert error is not None
    assert (error.code, error.message) == ("PROCESSOR_ERROR", "CUDA out of memory")
    entry = next(entry for entry in lab.listed() if entry["job_id"] == job)
    assert (entry["status"], entry["error"]) == ("failed", "CUDA out of memory")


def test_a_series_has_one_open_request_and_a_new_one_after_its_end(lab: Hospital) -> None:
    with ThreadPoolExecutor(4) as threads:
        started = set(threads.map(lambda _: lab.start("1.2.840.7"), range(4)))
    [job] = started
    assert lab.start("1.2.840.7") == job
    worker = lab.machine("one")
    request = lab.request_for(worker)
    assert lab.start("1.2.840.7") == job
    checked(worker.complete(request), "updated")  # without a report: the status update may have got lost
    lab.wait(job, "COMPLETED")
    again = lab.start("1.2.840.7")
    assert again != job
    request = lab.request_for(worker)
    assert request["job_id"] == again
    checked(worker.complete(request), "updated")


def test_twenty_requests_are_done_once_each_by_two_workers_while_someone_curls_every_moment(lab: Hospital) -> None:
    stop, before = threading.Event(), len(lab.results())
    curls = Counter[str]()

    def curl(path: str) -> None:
        with requests.Session() as session:
            session.headers["User-Agent"] = "curl/8.5.0"
            while not stop.wait(0.03):
                answer = session.get(f"{lab.url}/segmentation/{path}/", timeout=10)
                curls[path] += checked(answer, "listed" if path == "requests" else "pending")["count"]

    jobs = [lab.start() for _ in range(20)]
    workers = [lab.machine(name) for name in ("one", "two")]
    with ThreadPoolExecutor(4) as threads:
        tasks = [threads.submit(worker.work, stop, partial(time.sleep, 0.02)) for worker in workers]
        tasks += [threads.submit(curl, path) for path in ("requests", "pending-requests")]
        try:
            wait_until(
                lambda: sum(len(worker.done) for worker in workers) == 20 or any(task.done() for task in tasks),
                lambda: str([entry["status"] for entry in lab.listed()]),
            )
        finally:
            stop.set()
        for task in tasks:
            task.result(20)
    for job in jobs:
        lab.wait(job, "COMPLETED")
    assert len(workers[0].done) + len(workers[1].done) == len({*workers[0].done, *workers[1].done}) == 20
    assert sorted(lab.results()[before:]) == sorted(jobs)
    assert curls["pending-requests"] >= 1  # it did get a request, which another one has done
    assert {lab.job(job).execution for job in jobs} == {1}


def test_a_request_of_a_machine_that_died_is_handed_to_another_whose_result_counts(lab: Hospital) -> None:
    job, dead, other = lab.start(), lab.machine("dead"), lab.machine("other")
    lost = lab.request_for(dead)
    checked(dead.report(lost), "updated")  # and then nothing
    begun = time.monotonic()
    request = lab.request_for(other)
    assert time.monotonic() - begun > LEASE_S / 2
    assert (request["job_id"], request["request_id"] != lost["request_id"]) == (job, True)
    checked(other.report(request), "updated")
    for late in (dead.complete(lost, {"success": False, "error": "late"}), dead.complete(lost), dead.report(lost)):
        assert checked(late, "error", 409)["code"] == "LEASE_LOST"
    checked(other.complete(request), "updated")
    assert lab.wait(job, "COMPLETED").execution == 2
    refused = checked(dead.complete(lost), "error", 409)
    assert "without this worker" in refused["error"]
    assert lab.results().count(job) == 1


def test_a_client_that_only_looks_gets_nothing_more_until_its_pause_is_over(lab: Hospital) -> None:
    job, curl, worker = lab.start(), lab.machine("curl"), lab.machine("one")
    assert lab.request_for(curl)["job_id"] == job
    assert worker.poll() is None
    request = lab.request_for(worker)
    assert request["job_id"] == job
    checked(worker.complete(request), "updated")
    other = lab.start()
    wait_until(lambda: lab.job(other).state, lambda: "")
    assert curl.poll() is None  # a request waits, and this client has not taken the last one up
    request = lab.request_for(worker)
    checked(worker.complete(request), "updated")
