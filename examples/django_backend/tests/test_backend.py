"""The backend in front of the running sluice that SLUICE_GATEWAY_URL and SLUICE_CALLBACK_SECRETS name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from django.test import LiveServerTestCase
from django.utils import timezone
from sluice_client import Client, Retry

from inferences.models import Inference

SHEET = Path(__file__).parents[2] / "digits" / "tests" / "sheet.csv"
DIGITS = "49089112345678901234"


class BackendTest(LiveServerTestCase):
    def setUp(self) -> None:
        self.backend = httpx.Client(base_url=f"{self.live_server_url}/api/ai", trust_env=False)
        self.addCleanup(self.backend.close)
        overridden = self.settings(CALLBACK_URL=f"{self.live_server_url}/api/ai/callback/")
        overridden.enable()
        self.addCleanup(overridden.disable)

    def upload(self, content: bytes) -> dict[str, Any]:
        answer = self.backend.post("/inferences/", files={"sheet": ("sheet.csv", content)})
        assert answer.status_code == 202
        return answer.json()

    def ended(self, inference: dict[str, Any]) -> dict[str, Any]:
        """Poll as the front end does."""
        give_up = time.monotonic() + 30
        while inference["status"] in ("PENDING", "PROCESSING"):
            assert time.monotonic() < give_up, inference
            time.sleep(0.05)
            inference = self.backend.get(f"/inferences/{inference['id']}/").json()
        return inference

    def call_back(self, key: str, **fields: Any) -> int:
        """Send a callback as sluice would sign it; return the answer's status."""
        data = {"external_id": key, "run": 0, "status": "FAILED", "output": None, "error": None, **fields}
        body = json.dumps({"type": "job.failed", "data": data}).encode()
        key_bytes = base64.b64decode(os.environ["SLUICE_CALLBACK_SECRETS"].split(",")[0].removeprefix("whsec_"))
        now = str(int(time.time()))
        signature = base64.b64encode(hmac.digest(key_bytes, f"msg_1.{now}.".encode() + body, hashlib.sha256)).decode()
        headers = {"webhook-id": "msg_1", "webhook-timestamp": now, "webhook-signature": f"v1,{signature}"}
        return self.backend.post("/callback/", content=body, headers=headers).status_code

    def test_a_sheet_is_read(self) -> None:
        accepted = self.upload(SHEET.read_bytes())
        assert (accepted["status"], accepted["result"]) == ("PENDING", None)
        assert accepted["id"].startswith("ai_req_")
        inference = self.ended(accepted)
        assert (inference["status"], inference["error"]) == ("COMPLETED", None)
        assert inference["result"]["digits"] == DIGITS

    def test_the_callback_brings_the_result_without_a_poll(self) -> None:
        self.upload(SHEET.read_bytes())
        give_up = time.monotonic() + 30
        while (row := Inference.objects.get()).status != "COMPLETED":
            assert time.monotonic() < give_up, row.status
            time.sleep(0.05)
        assert row.result["digits"] == DIGITS

    def test_a_poll_makes_up_for_a_callback_that_is_lost(self) -> None:
        with self.settings(CALLBACK_URL="http://127.0.0.1:9/"):
            accepted = self.upload(SHEET.read_bytes())
        assert self.ended(accepted)["result"]["digits"] == DIGITS

    def test_a_file_that_is_no_sheet_fails_with_a_reason(self) -> None:
        inference = self.ended(self.upload(b"1,2,3\n"))
        assert (inference["status"], inference["result"]) == ("FAILED", None)
        assert "64 grey values" in inference["error"]

    def test_a_callback_that_comes_again_changes_nothing_and_a_later_run_replaces_the_result(self) -> None:
        row = Inference.objects.create(filename="sheet.csv", status="COMPLETED", result={"digits": "1"})
        assert self.call_back(str(row.key)) == 204
        row.refresh_from_db()
        assert (row.status, row.result) == ("COMPLETED", {"digits": "1"})
        assert self.call_back(str(row.key), run=1, status="COMPLETED", output={"digits": "7"}) == 204
        row.refresh_from_db()
        assert (row.run, row.result) == (1, {"digits": "7"})

    def test_a_callback_that_sluice_did_not_sign_is_refused(self) -> None:
        assert self.backend.post("/callback/", json={"data": {}}).status_code == 401

    def test_an_upload_whose_process_died_fails_after_a_while(self) -> None:
        row = Inference.objects.create(filename="sheet.csv")
        assert self.backend.get(f"/inferences/ai_req_{row.pk:04}/").json()["status"] == "PENDING"
        Inference.objects.update(created_at=timezone.now() - timedelta(hours=1))
        assert self.backend.get(f"/inferences/ai_req_{row.pk:04}/").json()["status"] == "FAILED"

    def test_without_sluice_an_upload_is_refused_and_leaves_no_row(self) -> None:
        with (
            Client("http://127.0.0.1:9", retry=Retry(attempts=1)) as away,
            mock.patch("inferences.jobs.client", return_value=away),
        ):
            answer = self.backend.post("/inferences/", files={"sheet": ("sheet.csv", SHEET.read_bytes())})
        assert answer.status_code == 503
        assert not Inference.objects.exists()
