"""Callbacks: stored once, with their files, whatever comes twice, late or broken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

from django.test import override_settings

from ai.models import Inference
from tests.kit import BackendTestCase, completed, failed, lesions, nifti, png

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class CallbackTest(BackendTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.row = self.volume_inference()
        self.id = self.row.ai_req_id

    def polled(self) -> dict[str, object]:
        return self.client.get(f"/api/ai/inferences/{self.id}/").json()

    def test_a_success_brings_result_and_files(self) -> None:
        mask = nifti(lesions())
        assert self.call_back(completed(self.id, {"mask.nii.gz": mask, "overlay.png": png()})).status_code == 204
        row = self.polled()
        assert (row["status"], row["error"]) == ("COMPLETED", None)
        assert row["result"] == {"volume_mm3": 1234.5, "lesion_count": 2}
        assert [(each["name"], each["size"]) for each in row["files"]] == [
            ("mask.nii.gz", len(mask)),
            ("overlay.png", len(png())),
        ]
        assert row["finished_at"] == "2026-11-28T09:00:00.123Z"
        assert row["callback_at"].endswith("Z")
        answer = self.client.get(row["files"][0]["url"])
        assert b"".join(answer.streaming_content) == mask
        assert answer["Content-Disposition"] == 'attachment; filename="mask.nii.gz"'

    def test_an_error_brings_its_code_and_the_page_says_the_next_step(self) -> None:
        assert self.call_back(failed(self.id)).status_code == 204
        assert self.polled()["error"] == {"code": "INVALID_INPUT", "message": "The volume is empty."}
        self.assertContains(self.client.get(f"/inferences/{self.id}/"), "Correct the file and start a new inference.")

    def test_a_callback_that_comes_twice_is_stored_once(self) -> None:
        assert self.call_back(completed(self.id, {"overlay.png": png()})).status_code == 204
        again = completed(self.id, {"overlay.png": b"other"}, finished_at="2026-11-28T10:00:00Z")
        assert self.call_back(again).status_code == 204
        with self.row.files.get().content.open() as kept:
            assert kept.read() == png()
        assert self.row.callbacks.get().times == 2

    def test_a_later_run_replaces_the_outcome_and_an_earlier_one_does_not(self) -> None:
        self.call_back(failed(self.id))
        self.call_back(completed(self.id, {"a.png": png()}, finished_at="2026-11-28T10:00:00Z"), "msg_2")
        assert self.polled()["status"] == "COMPLETED"
        self.call_back(failed(self.id, finished_at="2026-11-28T08:00:00Z"), "msg_3")
        row = self.polled()
        assert (row["status"], len(row["files"]), row["error"]) == ("COMPLETED", 1, None)

    def test_what_is_no_outcome_is_refused_and_changes_nothing(self) -> None:
        for body, status in (
            (completed("ai_req_9999", {}), 404),
            (completed("x", {}), 404),
            (completed(self.id, {}, status="DONE"), 400),
            (completed(self.id, {}, finished_at="soon"), 400),
            ({**completed(self.id, {}), "files": ["a"]}, 400),
            ({**completed(self.id, {}), "files": {"a.png": "not base64"}}, 400),
            (completed(self.id, {"../a.png": b""}), 400),
            ([], 400),
            ("{", 400),
        ):
            with self.subTest(body=body):
                assert self.call_back(body).status_code == status
        assert self.call_back(completed(self.id, {}), webhook_id="").status_code == 400
        assert self.polled()["status"] == "PENDING"
        assert not self.row.callbacks.exists()

    @override_settings(CALLBACK_SECRET=SECRET)
    def test_with_a_secret_only_signed_callbacks_are_stored(self) -> None:
        body, now = json.dumps(completed(self.id, {})), int(time.time())
        assert self.call_back(body).status_code == 401
        assert self.call_back(body, **_signed(body, now - 3600)).status_code == 401
        assert self.call_back(body.replace("1234", "9999"), **_signed(body, now)).status_code == 401
        assert Inference.objects.get().status == "PENDING"
        assert self.call_back(body, **_signed(body, now)).status_code == 204
        assert Inference.objects.get().status == "COMPLETED"


def _signed(body: str, at: int) -> dict[str, str]:
    """Sign as the specification of Standard Webhooks writes it."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"msg_1.{at}.{body}".encode(), hashlib.sha256)
    return {"webhook-timestamp": str(at), "webhook-signature": "v1," + base64.b64encode(digest).decode()}
