"""Plays the people of the hospital: the front end that starts inferences and polls them, and a person at the pages."""

from __future__ import annotations

import html
import json
import re
import time
from pathlib import Path
from typing import Any

import requests

import processes

PATIENT, NAME = "P-0001", "김하늘"
#: The front end polls about once a second.
POLL_S = 1.0
PATIENCE_S = 150.0
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Hospital:
    """A browser's session with the backend at `url`, with one patient."""

    def __init__(self, url: str, python: Path, home: Path, *, shows_series: bool) -> None:
        self.url = url
        #: True if the backend has an Orthanc to draw series from.
        self.shows_series = shows_series
        #: The states that each inference was seen in, by its id.
        self.seen: dict[str, list[str]] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        processes.manage(python, home, "add_patient", PATIENT, NAME)

    def start(self, model: str, file: Path) -> str:
        """Start an inference with a file; return its id."""
        with file.open("rb") as content:
            return self._start({"model": model}, {"file": (file.name, content)})

    def start_multimodal(self, chosen: dict[str, str]) -> str:
        """Choose MM's inputs on the patient's page and start it; return its id."""
        page = self._post(f"/patients/{PATIENT}/inferences/", {"model": "MM", **chosen}, None)
        return page.url.rstrip("/").rpartition("/")[2]

    def _start(self, form: dict[str, str], files: Any) -> str:
        answer = self._session.post(
            f"{self.url}/api/ai/inferences/", data={**form, "patient_id": PATIENT}, files=files, timeout=60
        )
        if answer.status_code != 202:
            raise processes.DemoError(f"The backend did not start {form['model']}: {answer.text[:500]}")
        return str(answer.json()["id"])

    def ended(self, id_: str) -> dict[str, Any]:
        """Poll an inference as the front end does, until it has ended."""
        give_up, states = time.monotonic() + PATIENCE_S, self.seen.setdefault(id_, [])
        while True:
            row: dict[str, Any] = self.get(f"/api/ai/inferences/{id_}/")
            shown = row["status"]
            if shown not in states[-1:]:
                states.append(shown)
                processes.say(f"{id_} {row['model']} {shown}")
            if shown in ("COMPLETED", "FAILED"):
                return row
            if time.monotonic() > give_up:
                raise processes.DemoError(
                    f"{id_} is still {shown} after {PATIENCE_S:.0f} s: `sluice explain` says why."
                )
            time.sleep(POLL_S)

    def add_order(self, table: Path) -> str:
        """Add the laboratory's order by its form; return the id of the upload that sluice made of it."""
        order = {"job_role": "LIS", "job_type": "BIOMARKER", "ocs_status": "RESULT_READY"}
        with table.open("rb") as content:
            page = self._post(f"/patients/{PATIENT}/biomarkers/", order, {"table": (table.name, content)})
        found = re.search(r'name="biomarker_upload_id">.*?<option value="([^"]+)">RESULT_READY', page.text)
        if found is None:
            raise processes.DemoError("The order of biomarkers was not offered for MM.")
        return found[1]

    def segment(self, series_id: str) -> None:
        """Press the button that starts the segmentation of a series."""
        self._post("/mri/series/-/segment/", {"series_id": series_id}, None, page="/mri/")

    def get(self, path: str) -> Any:
        return json.loads(self.content(path))

    def content(self, path: str) -> bytes:
        """Return a file of the backend, for example a picture."""
        answer = self._session.get(self.url + path, timeout=60)
        answer.raise_for_status()
        return answer.content

    def _post(self, path: str, form: dict[str, str], files: Any, page: str = f"/patients/{PATIENT}/") -> Any:
        """Send a form of a page, with the token that the page holds."""
        token = _TOKEN.search(self._session.get(self.url + page, timeout=60).text)
        fields = {**form, "csrfmiddlewaretoken": token[1] if token else ""}
        answer = self._session.post(self.url + path, data=fields, files=files, timeout=60)
        if not answer.ok:
            said = re.search(r'class="problem" role="alert">([^<]+)', answer.text)
            raise processes.DemoError(html.unescape(said[1]) if said else f"{path} answered {answer.status_code}")
        return answer
