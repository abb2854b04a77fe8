"""A lab machine's worker as it was before sluice: `requests`, plain HTTP, no identity, silent between report and completion."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import requests
from jsonschema import Draft202012Validator

from tests.harness.source_tree import ROOT

SCHEMAS = json.loads((ROOT / "docs" / "mri_lab.schema.json").read_text(encoding="utf-8"))
BODIES = {
    name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]}) for name in SCHEMAS["$defs"]
}
#: What a completed segmentation reports, about 1 KB.
FOUND = {
    "success": True,
    "segmentation_instance_uid": "1.2.826.0.1.3680043.8.498.1",
    "segmentation_series_uid": "1.2.826.0.1.3680043.8.498.2",
    "orthanc_id": "6b9e19d9-62094390-5f9ddb01-4a191ae7-9766b715",
    "found": True,
    "lesion_volume_mm3": 1234.5,
    "lesion_count": 2,
    "report": "two lesions",
    "message": "m" * 600,
}
NOTHING_FOUND = {**FOUND, "found": False, "lesion_volume_mm3": 0, "lesion_count": 0}


def checked(answer: requests.Response, body: str, status: int = 200) -> dict[str, Any]:
    """Return a response's JSON. Raises AssertionError unless status and body are those of the contract."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    BODIES[body].validate(found)
    return found


class OldWorker:
    """`url`: DJANGO_API_URL, with the machine's credentials if need be. `machine`: stands in for an address of its own."""

    def __init__(self, url: str, machine: str) -> None:
        self._base = f"{url}/segmentation"
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"{requests.utils.default_user_agent()} {machine}"
        self.done: list[str] = []

    def poll(self) -> dict[str, Any] | None:
        """Return a request to work on; None if there is none."""
        found = checked(self._session.get(f"{self._base}/pending-requests/", timeout=10), "pending")
        assert found["count"] == len(found["requests"])
        return next(iter(found["requests"]), None)

    def report(self, request: Mapping[str, Any]) -> requests.Response:
        url = f"{self._base}/update-status/{request['request_id']}/"
        return self._session.post(url, json={"status": "processing"}, timeout=10)

    def complete(self, request: Mapping[str, Any], body: Mapping[str, Any] = FOUND) -> requests.Response:
        url = f"{self._base}/complete-request/{request['request_id']}/"
        return self._session.post(url, json=body, timeout=30)

    def work(self, stop: threading.Event, wait: Callable[[], object]) -> None:
        """Poll, work and complete until `stop` is set."""
        while not stop.is_set():
            request = self.poll()
            if request is None:
                wait()
                continue
            checked(self.report(request), "updated")
            checked(self.complete(request), "updated")
            self.done.append(request["series_id"])

    def close(self) -> None:
        self._session.close()
