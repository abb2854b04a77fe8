"""An old polling worker and a lab worker of sluice at the gateway of a real stack: the same jobs, each run by one of them."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from streams import wiring
from streams.admin import topics
from streams.settings import Settings
from streams.worker import worker as worker_module
from streams.worker.worker import Worker
from tests.harness.mri_hospital import SETTINGS, hospital_on
from tests.harness.old_mri_worker import NOTHING_FOUND, checked
from tests.harness.processors.mri_quick import installed
from tests.harness.scribe import Scribe
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

PATIENCE_S = 90.0


def test_an_old_worker_and_a_new_one_share_the_requests_and_each_is_done_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_quiet_the_collector", lambda: None)
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site"))
    made = settings.model_copy(update=SETTINGS | {"gateway_mri_lease_s": 60.0})
    topics.apply(made, wiring.contracts(made))
    with hospital_on(made) as lab, closing(Scribe(made)) as scribe:
        lab_settings = Settings(
            home=tmp_path / "lab", worker_gateway=lab.gateway, topic_prefix=made.topic_prefix, rollout="mri-lab=quick"
        )
        new, old = Worker(lab_settings, ["mri-lab"]), lab.machine("old")
        jobs = [lab.start() for _ in range(8)]

        def run(stop: threading.Event) -> None:
            new.run(stop)

        def poll(stop: threading.Event) -> None:
            old.work(stop, partial(time.sleep, 0.02))

        slow = lab.request_for(old)  # while it works on this one, the new worker has others
        checked(old.report(slow), "updated")
        with in_thread(run):
            wait_until(
                lambda: sum(each["status"] == "completed" for each in lab.listed()) >= 2,
                lambda: str(new.health()),
                PATIENCE_S,
            )
            assert (
                lab.wait(slow["job_id"], "PROCESSING").owner == f"polling~127.0.0.1~{slow['request_id'].split('.')[2]}"
            )
            checked(old.complete(slow, NOTHING_FOUND), "updated")
            with in_thread(poll):
                for job in jobs:
                    lab.wait(job, "COMPLETED")
        rows = scribe.rows("SELECT job_id::text, output->>'report', output->>'found' FROM outcomes")
        by_new = sum(report.startswith("quick") for _, report, _ in rows)
        assert sorted(job for job, _, _ in rows) == sorted(lab.results()) == sorted(jobs)
        assert (by_new >= 2, by_new + len(old.done) + 1) == (True, 8)
        assert (slow["job_id"], NOTHING_FOUND["report"], "false") in rows
        assert scribe.rows("SELECT max(execution) FROM runs") == [(1,)]
        assert scribe.rows("SELECT count(*) FROM leases") == [(0,)]
