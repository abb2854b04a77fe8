"""The client's side of a measurement: what it submits, and when it says that it did."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from typing import Any

from bench.compare.load import Job, serve


class Recording:
    """Keeps what is submitted; the first submit stalls for `stall_s`."""

    def __init__(self, stall_s: float = 0.0) -> None:
        self.jobs: list[Job] = []
        self.stall_s = stall_s

    def submit(self, job: Job) -> None:
        if not self.jobs:
            time.sleep(self.stall_s)
        self.jobs.append(job)

    def submit_many(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def rows(self, batch: str) -> int:
        return sum(job["id"].startswith(f"{batch}-") for job in self.jobs)


def ask(submitter: Recording, **command: Any) -> dict[str, Any]:
    answers = io.StringIO()
    serve(submitter, io.StringIO(json.dumps(command) + "\n"), answers)
    parsed: dict[str, Any] = json.loads(answers.getvalue())
    return parsed


def test_a_burst_is_jobs_of_600_bytes_with_ids_of_its_batch() -> None:
    submitter = Recording()
    answer = ask(submitter, do="burst", batch="a", count=3, url="http://here/")
    assert [job["id"] for job in submitter.jobs] == ["a-0", "a-1", "a-2"]
    assert {(len(job["message"]), job["url"]) for job in submitter.jobs} == {(600, "http://here/")}
    assert answer["started"] <= answer["submitted"]
    assert ask(submitter, do="rows", batch="a") == {"rows": 3}


def test_one_job_has_its_number_in_the_url() -> None:
    submitter = Recording()
    before = time.monotonic()
    answer = ask(submitter, do="one", batch="a", number=7, url="http://here/idle/")
    assert submitter.jobs[0]["url"] == "http://here/idle/7"
    assert before <= answer["at"] <= time.monotonic()


def test_intended_times_stay_at_the_rate_when_a_submit_stalls() -> None:
    submitter = Recording(stall_s=0.05)
    intended = ask(submitter, do="paced", batch="a", count=5, rate=1000, url="http://here/paced/")["intended"]
    assert [round((at - intended[0]) * 1000) for at in intended] == [0, 1, 2, 3, 4]
    assert [job["url"][-1] for job in submitter.jobs] == ["0", "1", "2", "3", "4"]
