"""A hospital: sink, timekeeper and a gateway that speaks the polling contract of its old lab machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import requests

from connectors.lease_store import LeaseView
from connectors.views import JobView
from streams import wiring
from streams.admin import tail
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.gateway_app import memory_settings
from tests.harness.lab import running_gateway
from tests.harness.old_mri_worker import OldWorker, checked
from tests.harness.waiting import in_thread, wait_until

#: Short, so that a test need not wait for the real ones: 10 s and 30 min.
OFFER_S = 0.3
LEASE_S = 1.0
SETTINGS: dict[str, Any] = {
    "processors": ("mri-lab",),
    "gateway_mri": "networks",
    "gateway_mri_networks": ("127.0.0.0/8",),
    "gateway_mri_offer_s": OFFER_S,
    "gateway_mri_lease_s": LEASE_S,
    "use_local_inference": True,
}
SERIES = "0b2a5d0e-6b1f4a57-9a4c1e57-1f2e3d4c-5b6a7988"


class Hospital:
    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.gateway = url
        self.url = f"{url}/api/mri"
        self._started = 0
        self._open = ExitStack()

    def start(self, series: str = "", **body: Any) -> str:
        """Start a segmentation and return its job's id. Without a series, of one that no other test has."""
        self._started += 1
        url = f"{self.url}/segmentation/series/{series or f'1.2.3.{self._started}'}/segment/"
        return str(checked(requests.post(url, json=body or None, timeout=10), "started")["job_id"])

    def machine(self, name: str) -> OldWorker:
        made = OldWorker(self.url, name)
        self._open.callback(made.close)
        return made

    def request_for(self, machine: OldWorker) -> dict[str, Any]:
        """Poll until there is a request."""
        return wait_until(machine.poll, lambda: "no request")

    def listed(self) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/segmentation/requests/", params={"limit": 500}, timeout=10)
        found: list[dict[str, Any]] = checked(answer, "listed")["requests"]
        return found

    def job(self, job_id: str) -> JobView:
        with wiring.job_store(self.settings) as jobs:
            found = jobs.job(job_id)
        assert found is not None
        return found

    def lease(self, job_id: str) -> LeaseView:
        with closing(wiring.lease_store(self.settings)) as leases:
            found = leases.find(job_id, 0)
        assert found is not None
        return found

    def wait(self, job_id: str, state: str) -> JobView:
        wait_until(lambda: self.job(job_id).state == state, lambda: str(self.job(job_id)))
        return self.job(job_id)

    def results(self) -> list[str]:
        """Return the job of each result in the log."""
        topic = self.settings.topics.results("mri-lab")
        return [record.headers["sluice-job"] for record in tail.last(self.settings, topic, 500)]

    def close(self) -> None:
        self._open.close()


@contextmanager
def hospital(home: Path) -> Iterator[Hospital]:
    """Run one on twins in memory."""
    with hospital_on(memory_settings(home, **SETTINGS)) as made:
        yield made


@contextmanager
def hospital_on(settings: Settings) -> Iterator[Hospital]:
    """Run one on an installation whose settings have SETTINGS."""
    with ExitStack() as parts:
        parts.enter_context(in_thread(Sink(settings, notify=False).run))
        parts.enter_context(in_thread(Timekeeper(settings).run))
        made = Hospital(settings, parts.enter_context(running_gateway(settings)))
        parts.callback(made.close)
        yield made
