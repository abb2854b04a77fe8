"""Helpers of the tests: a volume with two lesions, callbacks as sluice sends them, and an inference service to talk to."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import nibabel as nib
import numpy as np
from django.core.files.base import ContentFile
from django.http import HttpResponse
from django.test import TestCase, override_settings
from PIL import Image

from ai.models import Inference, Patient

SHAPE = (20, 24, 16)
#: Another order and direction than RAS+: the axes go inferior, left and posterior, by 1, 2 and 3 mm.
AFFINE = np.array([[0, -2.0, 0, 20], [0, 0, -3.0, 30], [-1.0, 0, 0, 10], [0, 0, 0, 1]])


def nifti(data: Any, affine: Any = AFFINE) -> bytes:
    return gzip.compress(nib.Nifti1Image(data, affine).to_bytes(), mtime=0)


def png() -> bytes:
    file = BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    return file.getvalue()


def lesions() -> Any:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 2:4, 2:4] = 1  # 8 voxels
    mask[10:15, 15:18, 7:10] = 1  # 45 voxels
    return mask


def completed(ai_req_id: str, files: dict[str, bytes], **fields: Any) -> dict[str, Any]:
    """Return the body of a success, as docs/callback_shapes/brain_tumour.toml writes it."""
    return {
        "job_id": "0198",
        "ai_req_id": ai_req_id,
        "status": "COMPLETED",
        "model": "M1",
        "finished_at": "2026-11-28T09:00:00.123Z",
        "result": {"volume_mm3": 1234.5, "lesion_count": 2},
        "files": {name: base64.b64encode(content).decode() for name, content in files.items()},
        **fields,
    }


def failed(ai_req_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "job_id": "0198",
        "ai_req_id": ai_req_id,
        "status": "FAILED",
        "model": "M1",
        "finished_at": "2026-11-28T09:00:00.123Z",
        "error_code": "INVALID_INPUT",
        "error_message": "The volume is empty.",
        **fields,
    }


def volume_inference(patient: Patient) -> Inference:
    """Return an open M1 inference whose volume grows brighter to the patient's right, and a little towards the feet."""
    down, _, _ = np.indices(SHAPE)
    right = np.broadcast_to(np.linspace(1, 0, SHAPE[1])[None, :, None], SHAPE)
    content = ContentFile(nifti((right * 1000 + 5 * down).astype(np.int16)), "scan.nii.gz")
    return Inference.objects.create(patient=patient, model="M1", input=content)


class BackendTestCase(TestCase):
    """With a patient, a folder of its own for files, and no inference service unless a test starts one."""

    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.enterContext(override_settings(MEDIA_ROOT=folder, INFERENCE_URL="http://127.0.0.1:9"))
        self.patient = Patient.objects.create(patient_id="P-0001", name="김하늘")

    def volume_inference(self) -> Inference:
        return volume_inference(self.patient)

    def call_back(self, body: Any, webhook_id: str = "msg_1", **headers: str) -> HttpResponse:
        given = {"webhook-id": webhook_id, **headers}
        return self.client.post("/api/ai/callback/", body, content_type="application/json", headers=given)


@contextmanager
def inference_service(answers: dict[str, tuple[int, Any]]) -> Iterator[list[tuple[str, bytes]]]:
    """Answer "METHOD path" as given, over HTTP, with JSON or bytes; yield the requests that came."""
    seen: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append((f"{self.command} {self.path}", body))
            status, answer = answers.get(f"{self.command} {self.path.partition('?')[0]}", (404, {"error": "not found"}))
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            with override_settings(INFERENCE_URL=address, ORTHANC_URL=address):
                yield seen
        finally:
            server.shutdown()
            thread.join()
