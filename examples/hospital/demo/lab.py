"""System 2: a real Orthanc where it can be had, the old polling worker, and a segmentation from the button to the DICOM SEG."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import requests
from schemas.errors import SluiceError

import inputs
import processes
import report
from hospital_client import Hospital

POLL_INTERVAL_S = 2.0
PATIENCE_S = 120.0


def programs() -> str:
    """Fetch Orthanc and its libraries; return why it is not available, "" if it is."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "Orthanc is not available here: its packages are for Linux on x86-64"
    try:
        from tests.harness import orthanc

        orthanc.environment()
        for name in orthanc.PROGRAMS:
            orthanc.unpacked(name)
    except (SluiceError, OSError) as error:
        return f"Orthanc is not available here: {error}"
    return ""


@contextmanager
def orthanc(unavailable: str, home: Path) -> Iterator[dict[str, str]]:
    """Run Orthanc; yield its settings, none if it is not available."""
    if unavailable:
        processes.say(f"{unavailable}; the lab machine reads the series from a folder")
        yield {}
        return
    from tests.harness.orthanc import PASSWORD, USER, running_orthanc

    with running_orthanc(home / "orthanc") as server:
        processes.say(f"Orthanc is ready: {server.url}")
        yield {"ORTHANC_URL": server.url, "ORTHANC_USER": USER, "ORTHANC_PASSWORD": PASSWORD}


@contextmanager
def old_worker(sluice: str, orthanc: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Run the old worker, unchanged but for its settings; yield the folder of series that it reads without Orthanc."""
    folder = home / "series"
    folder.mkdir()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(processes.EXAMPLE.parents[1]), os.environ.get("PYTHONPATH", ""))),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_API_URL": f"{sluice}/api/mri",
        "POLL_INTERVAL": f"{POLL_INTERVAL_S:g}",
        "SERIES_FOLDER": str(folder),
        "OMP_NUM_THREADS": "2",
        **orthanc,
    }
    command = [sys.executable, str(processes.EXAMPLE / "old_worker.py")]
    with processes.running(command, home / "old-worker.log", cwd=home, env=environment):
        processes.say("the old lab machine polls")
        yield folder


def segment(hospital: Hospital, folder: Path, orthanc: Mapping[str, str], made: inputs.Inputs) -> list[report.Row]:
    """Store the series, press the button, and wait until the old worker has completed the request."""
    series_id = _send(made.series, orthanc) if orthanc else _keep(made.series, folder)
    processes.say(f"the series is stored ({len(made.series)} slices, a Korean name in EUC-KR)")
    since = time.monotonic()
    hospital.segment(series_id)
    shown, states = "", list[str]()
    while shown not in ("completed", "failed"):
        found = _request(hospital, series_id)
        if found["status"] != shown:
            shown = found["status"]
            states.append(shown)
            processes.say(f"segmentation of the series: {shown}")
        if time.monotonic() - since > PATIENCE_S:
            raise processes.DemoError(
                f"The segmentation is still {shown} after {PATIENCE_S:.0f} s: see old-worker.log."
            )
        time.sleep(0.5)
    seconds = time.monotonic() - since
    segmentation = _stored(found, orthanc, folder / f"{series_id}-seg.dcm")
    row = report.lab_row(series_id, found, seconds, segmentation, hospital, made)
    row.states = states
    return [row]


def _stored(found: dict[str, Any], orthanc: Mapping[str, str], file: Path) -> Any:
    """Return the DICOM SEG of a completed request from Orthanc or from the folder; None if there is none."""
    if found["status"] != "completed":
        return None
    if not orthanc:
        return pydicom.dcmread(file)
    with _session(orthanc) as session:
        query = {"Level": "Instance", "Query": {"Modality": "SEG"}}
        ids = session.post(f"{orthanc['ORTHANC_URL']}/tools/find", json=query, timeout=30).json()
        content = session.get(f"{orthanc['ORTHANC_URL']}/instances/{ids[0]}/file", timeout=30).content if ids else b""
    return pydicom.dcmread(BytesIO(content)) if content else None


def _session(orthanc: Mapping[str, str]) -> requests.Session:
    session = requests.Session()
    session.auth = (orthanc["ORTHANC_USER"], orthanc["ORTHANC_PASSWORD"])
    session.trust_env = False
    return session


def _request(hospital: Hospital, series_id: str) -> dict[str, Any]:
    listed = hospital.get("/mri/requests.json").get("requests", [])
    return next((each for each in listed if each["series_id"] == series_id), {"status": "not listed"})


def _send(series: list[Any], orthanc: Mapping[str, str]) -> str:
    """Send the slices as a scanner does; return Orthanc's id of the series."""
    from tests.harness.volumes import file_bytes

    with _session(orthanc) as session:
        for one in series:
            answer = session.post(f"{orthanc['ORTHANC_URL']}/instances", data=file_bytes(one), timeout=30)
            answer.raise_for_status()
    return str(answer.json()["ParentSeries"])


def _keep(series: list[Any], folder: Path) -> str:
    series_id = str(series[0].SeriesInstanceUID)
    (folder / series_id).mkdir()
    for number, one in enumerate(series):
        one.save_as(folder / series_id / f"{number:04}.dcm", enforce_file_format=True)
    return series_id
