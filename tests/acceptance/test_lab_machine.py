"""`sluice mri-lab` by the old worker's settings: series in a real Orthanc, jobs from a gateway, a machine that is killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil
import pytest
import requests
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from processors.mri_lab.contract import MRI_LAB, MriLabInput
from processors.segmentation.nifti import read_nifti
from processors.segmentation.samples import make_samples
from streams.admin import topics
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.gateway_service import open_gateway, token_for
from tests.harness.installation import installation
from tests.harness.orthanc import PASSWORD, USER, Server, running_orthanc
from tests.harness.scribe import Scribe
from tests.harness.services import SLUICE
from tests.harness.volumes import ball, dicom_slices
from tests.harness.waiting import in_thread, wait_until

pytestmark = [pytest.mark.accept, pytest.mark.stack]

#: How long a machine may take to start, and a job to run, on a busy machine.
START_S, JOB_S = 120.0, 180.0


class Lab:
    """An installation with a gateway that asks for tokens, an Orthanc, and lab machines that know no other address."""

    def __init__(self, settings: Settings, server: Server, url: str, folder: Path) -> None:
        self.settings, self.server, self._url, self._folder = settings, server, url, folder
        self._api = self.api("*", "work")
        self.scribe = Scribe(settings)
        self.machines: dict[subprocess.Popen[bytes], Path] = {}

    def machine(self) -> subprocess.Popen[bytes]:
        """Start a lab machine with the settings of the old worker alone."""
        home = self._folder / f"machine-{len(self.machines)}"
        home.mkdir()
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ} | {
            "DJANGO_API_URL": self._api,
            "ORTHANC_URL": self.server.url,
            "ORTHANC_USER": USER,
            "ORTHANC_PASSWORD": PASSWORD,
            "DEVICE": "cuda",
            "POLL_INTERVAL": "30",
            "SLUICE_HOME": str(home),
            "SLUICE_TOPIC_PREFIX": self.settings.topic_prefix,
            "SLUICE_LOG_FORMAT": "json",
        }
        with (home / "log").open("wb") as log:
            started = subprocess.Popen([SLUICE, "mri-lab"], env=env, stdout=log, stderr=log, cwd=home)
        self.machines[started] = home / "log"
        wait_until(lambda: "worker_ready" in self.log(started) or started.poll(), lambda: self.log(started), START_S)
        return started

    def api(self, tenant: str, *scopes: str) -> str:
        """Return the URL of the old API with a new token and its name."""
        token = token_for(self.settings, tenant, scopes)
        return self._url.replace("//", f"//{quote(f'token of {tenant}')}:{token}@") + "/api/mri"

    def log(self, machine: subprocess.Popen[bytes]) -> str:
        return self.machines[machine].read_text()

    def submit(self, series: str) -> str:
        with Submitter(self.settings) as submitter:
            return submitter.submit("mri-lab", MriLabInput(series)).job_id

    def row(self, query: str, job: str) -> tuple[Any, ...]:
        found = self.scribe.rows(query, job)
        return found[0] if found else ("none", "")

    def wait(self, job: str, state: str) -> None:
        def now() -> str:
            return str(self.row("SELECT state FROM runs WHERE job_id = %s", job)[0])

        logs = [self.log(each) for each in self.machines]
        wait_until(lambda: now() == state, lambda: f"{now()}: {logs}", JOB_S)


@pytest.fixture(scope="module")
def lab(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with ExitStack() as parts:
        made = parts.enter_context(installation(stack, folder / "home"))
        settings = made.model_copy(update={"processors": ("mri-lab",)})
        topics.apply(settings, [MRI_LAB])
        door = {"gateway_mri": "basic", "use_local_inference": True}
        url = parts.enter_context(open_gateway(settings, gateway_auth="token", **door))
        parts.enter_context(in_thread(Sink(settings, notify=False).run))
        parts.enter_context(in_thread(Timekeeper(settings).run))
        server = parts.enter_context(running_orthanc(folder / "orthanc"))
        running = Lab(settings, server, url, folder)
        parts.callback(running.scribe.close)
        yield running
        for machine in running.machines:
            end(machine)


def end(machine: subprocess.Popen[bytes]) -> None:
    """Kill a machine as a power cut does: the worker and its processes at once."""
    family = (
        [*psutil.Process(machine.pid).children(recursive=True), psutil.Process(machine.pid)]
        if machine.poll() is None
        else []
    )
    for one in family:
        one.suspend()
    for one in family:
        one.kill()
    machine.wait()


def stored(server: Server, data: NDArray[np.int16], affine: NDArray[np.float64]) -> str:
    """Store a series of its own study in Orthanc; return its SeriesInstanceUID."""
    slices, study, frame = dicom_slices(data, affine), generate_uid(), generate_uid()
    for one in slices:
        one.StudyInstanceUID, one.FrameOfReferenceUID, one.PatientID = study, frame, "P-1"
    server.send(slices)
    return str(slices[0].SeriesInstanceUID)


def test_a_job_of_a_machine_that_was_killed_is_completed_by_another_and_one_seg_is_stored(
    lab: Lab, tmp_path: Path
) -> None:
    (sample,) = make_samples(tmp_path, 1, seed=7)
    brain = read_nifti(sample.path)
    series = stored(lab.server, brain.data.astype(np.int16), brain.affine)
    first = lab.machine()
    job = lab.submit(series)
    lab.wait(job, "COMPLETED")
    output, note = lab.row("SELECT output, device_note FROM outcomes WHERE job_id = %s", job)
    assert output["found"]
    assert "CUDA" in note
    assert output["device"] == "cpu"
    assert {one["00080018"]["Value"][0] for one in lab.server.instances("SEG")} == {output["segmentation_instance_uid"]}
    log = lab.log(first)
    assert "poll_interval_not_needed" in log
    assert "slt_" not in log
    assert PASSWORD not in log

    lost = lab.submit(series)
    lab.wait(lost, "PROCESSING")
    end(first)
    assert lab.row("SELECT state FROM runs WHERE job_id = %s", lost)[0] == "PROCESSING"  # killed in the middle
    lab.machine()
    lab.wait(lost, "COMPLETED")
    status, execution = lab.row(
        "SELECT status, execution FROM outcomes JOIN runs USING (job_id) WHERE job_id = %s", lost
    )
    assert (status, execution) == ("COMPLETED", 2)
    assert len(lab.server.instances("SEG")) == 2


def test_two_machines_share_the_jobs(lab: Lab) -> None:
    series = stored(lab.server, ball(), np.eye(4))
    while sum(machine.poll() is None for machine in lab.machines) < 2:
        lab.machine()
    jobs = [lab.submit(series) for _ in range(8)]
    for job in jobs:
        lab.wait(job, "COMPLETED")
    workers = {lab.row("SELECT worker_id FROM outcomes WHERE job_id = %s", job)[0] for job in jobs}
    assert len(workers) == 2
    answers = {lab.row("SELECT output ->> 'lesion_volume_mm3' FROM outcomes WHERE job_id = %s", job)[0] for job in jobs}
    assert len(answers) == 1


def test_a_series_that_the_old_server_starts_is_done_by_a_lab_machine(lab: Lab) -> None:
    if all(machine.poll() is not None for machine in lab.machines):
        lab.machine()
    series = stored(lab.server, ball(), np.eye(4))
    api = f"{lab.api('default', 'submit', 'read')}/segmentation"
    started = requests.post(f"{api}/series/{series}/segment/", timeout=30)
    assert started.json()["success"], started.text
    job = str(started.json()["job_id"])
    lab.wait(job, "COMPLETED")
    listed = requests.get(f"{api}/requests/", timeout=30).json()["requests"]
    newest = listed[0]  # the jobs of other tests are listed behind it
    assert (newest["job_id"], newest["series_id"], newest["status"]) == (job, series, "completed")
