"""The contract of brain tumour inference on the real stack, spoken by `requests` as the old backend's code does.

The backend is down at first, and the notifier is in another network namespace: there `localhost` is its own machine, as in a
container. Bodies are checked against docs/contracts/brain_tumour.schema.json. M1 has weights by MODEL_PATH, as the old service
had: a network that calls bright voxels lesions.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, LiteralString, Self
from urllib.parse import urlsplit, urlunsplit

import jsonschema
import nibabel
import numpy as np
import psycopg
import pytest
import requests
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from streams.settings import Settings
from streams.sink import Sink
from tests.harness.installation import installation
from tests.harness.isolated import Machine, relay_to
from tests.harness.lab import running_gateway
from tests.harness.services import SLUICE, Service, environment
from tests.harness.source_tree import ROOT
from tests.harness.volumes import ball, write_nifti
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

SCHEMA = json.loads((ROOT / "docs" / "contracts" / "brain_tumour.schema.json").read_text())
SHAPES = ROOT / "docs" / "callback_shapes" / "brain_tumour.toml"
PROCESSORS = ("mri", "gene-expression", "multimodal")
#: Where the notifier's machine finds the backend, which has a prefix of its own.
DJANGO_URL = "http://127.0.0.2:8000/cdss/"
PROTEINS = b"name,value,unit\nkappa,1.27,mg/dL\nlambda,15.1,mg/L\ncreatinine,97,umol/L\n"
LABELS = ["job_role=LIS", "job_type=BIOMARKER", "ocs_status=RESULT_READY"]
PARTS = ("weight", "bias")
#: Seconds that three workers may take to start on a busy machine.
START_S = 120.0


def check(name: str, body: Any) -> Any:
    """Check a body against a definition of the contract's schema; return it."""
    jsonschema.validate(body, {"$ref": f"#/$defs/{name}", **SCHEMA}, cls=jsonschema.Draft202012Validator)
    return body


class Django(ThreadingHTTPServer):
    """The backend's server, as little as takes callbacks: each on a connection of its own. A context manager."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Callback)
        self.callbacks: list[tuple[str, str, Any]] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Callback(BaseHTTPRequestHandler):
    server: Django

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.callbacks.append((self.path, self.headers["content-type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@dataclass
class Hospital:
    """The backend: what it asks of the inference service, and what it was called with. `port`: of its receiver."""

    url: str
    port: int
    settings: Settings
    worker: Service
    notifier: Machine

    def log(self) -> str:
        return f"{self.deliveries()}\n{self.notifier.log.read_text()}\n{self.worker.last_lines()}"

    def deliveries(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT state, count(*) FROM deliveries GROUP BY state ORDER BY state")

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database) as connection:
            return connection.execute(query).fetchall()

    def post(self, status: int = 202, file: bytes | None = None, **fields: Any) -> Any:
        """Ask for an inference; return the body, checked against the contract."""
        body: dict[str, Any] = (
            {"json": fields} if file is None else {"data": fields, "files": {"file": ("input", file)}}
        )
        answer = requests.post(f"{self.url}/api/ai/inferences/", timeout=30, **body)
        assert answer.status_code == status, answer.text
        kind = "application/json" if status < 400 else "application/problem+json"
        assert answer.headers["content-type"] == kind
        return check("accepted" if status < 400 else "problem", answer.json())

    def get(self, path: str, definition: str, status: int = 200) -> Any:
        answer = requests.get(f"{self.url}{path}", timeout=30)
        assert answer.status_code == status, answer.text
        return check(definition, answer.json())

    def ended(self, ai_req_id: str) -> Any:
        """Poll an inference as a front end does, until it has ended."""

        def poll() -> Any:
            found = self.get(f"/api/ai/inferences/{ai_req_id}/", "inference")
            return found if found["status"] in ("COMPLETED", "FAILED") else None

        return wait_until(poll, lambda: f"{ai_req_id} has not ended: {self.log()}", START_S)

    def file(self, inference: Any, name: str) -> bytes:
        """Download a file of an inference, and compare it with its hash."""
        (found,) = [one for one in inference["files"] if one["name"] == name]
        content = requests.get(self.url + found["url"], timeout=30).content
        assert hashlib.sha256(content).hexdigest() == found["sha256"]
        return content


@pytest.fixture(scope="module")
def hospital(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    own = {"processors": PROCESSORS, "callback_shapes": SHAPES, "notify": "service"}
    with ExitStack() as parts:
        settings = parts.enter_context(installation(stack, folder / "home", **own))
        patch = parts.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MODEL_PATH", str(bright_voxels(folder)))
        worker = Service(settings, ["worker", *PROCESSORS])
        parts.callback(worker.stop)
        parts.enter_context(in_thread(Sink(settings, notify=False).run))
        url = parts.enter_context(running_gateway(settings, gateway_brain_tumour=True, django_url=DJANGO_URL))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        notifier = parts.enter_context(notifier_on_a_machine_of_its_own(settings, folder, port))
        yield Hospital(url, port, settings, worker, notifier)


@contextmanager
def notifier_on_a_machine_of_its_own(settings: Settings, folder: Path, port: int) -> Iterator[Machine]:
    """Run `sluice notify` on a machine that reaches Postgres, and the backend at its port as DJANGO_URL has it."""
    database = urlsplit(settings.database)
    inside = database._replace(netloc=f"{database.netloc.rpartition('@')[0]}@127.0.0.1:{database.port}")
    env = environment(settings) | {
        "DATABASE_URL": urlunsplit(inside),
        "DJANGO_URL": DJANGO_URL,
        "SLUICE_CALLBACK_ALLOW": "",
    }
    with ExitStack() as parts:
        postgres = parts.enter_context(relay_to(database.port or 5432, folder / "postgres"))
        backend = parts.enter_context(relay_to(port, folder / "backend"))
        at = urlsplit(DJANGO_URL).netloc
        machine = Machine(
            folder / "notifier", postgres, database.port or 5432, [SLUICE, "notify"], env, also={at: backend}
        )
        parts.callback(machine.stop)
        yield machine


def bright_voxels(folder: Path) -> Path:
    """Write a network of two convolutions that calls voxels above 3 standard deviations lesions; return its file."""
    middle = np.zeros((1, 1, 3, 3, 3), np.float32)
    middle[..., 1, 1, 1] = 1
    last = np.zeros((2, 1, 3, 3, 3), np.float32)
    last[0, 0, 1, 1, 1] = 10
    none, path = np.zeros(1, np.float32), folder / "best_model.safetensors"
    layers = {
        "model.0.conv": (middle, none),
        "model.1.submodule.conv": (middle, none),
        "model.2.conv": (last, none - 30),
    }
    save_file(
        {f"{name}.{part}": one for name, both in layers.items() for part, one in zip(PARTS, both, strict=True)}, path
    )
    spec = {"channels": [1, 1], "strides": [1], "num_res_units": 0, "norm": None, "act": "relu"}
    path.with_suffix(".json").write_text(json.dumps(spec))
    return path


def table_of_genes() -> bytes:
    """Return a table with a sample near the shipped model's training mean."""
    (weights,) = (ROOT / "processors" / "gene_expression" / "weights").glob("*.safetensors")
    with safe_open(weights, "numpy") as file:
        genes = [symbol for symbol, _ in json.loads(next(iter(file.metadata().values())))["genes"]]
        mean = file.get_tensor("mean").tolist()
    return f"sample,{','.join(genes)}\nP1,{','.join(map(str, mean))}\n".encode()


def test_the_contract_from_the_request_to_the_callback(hospital: Hospital, tmp_path: Path) -> None:
    head = ball()
    head[12:18, 20:25, 16:20] = 2500
    volume = write_nifti(tmp_path / "head.nii.gz", head).read_bytes()
    m1: dict[str, Any] = {"ai_req_id": "ai_req_0001", "model": "M1", "patient_id": "P-7"}
    mg: dict[str, Any] = {"ai_req_id": "ai_req_0002", "model": "MG", "patient_id": "P-7"}
    bad: dict[str, Any] = {"ai_req_id": "ai_req_0003", "model": "MG", "patient_id": "P-8"}

    # Without callback_url the result goes to http://localhost:8000/api/ai/callback/.
    accepted = [hospital.post(file=volume, **m1), hospital.post(file=table_of_genes(), **mg)]
    assert [each["status"] for each in accepted] == ["PENDING", "PENDING"]
    hospital.post(file=b"no table", **bad, callback_url="http://127.0.0.1:8000/api/ai/callback/?ward=3&x=%2F")
    assert hospital.post(file=volume, **m1)["job_id"] == accepted[0]["job_id"]
    hospital.post(409, file=volume, **m1 | {"patient_id": "P-8"})
    hospital.post(422, **m1 | {"ai_req_id": "ai_req_0009", "model": "M2"})
    hospital.get("/api/ai/inferences/ai_req_0009/", "problem", 404)

    images, genes, failed = (hospital.ended(f"ai_req_000{n}") for n in (1, 2, 3))
    assert [one["status"] for one in (images, genes, failed)] == ["COMPLETED", "COMPLETED", "FAILED"], failed
    assert failed["error"]["code"] == "INVALID_INPUT"
    assert images["result"]["lesion_count"] == 1
    assert genes["result"]["genes_used"] > 1000
    assert 0 <= genes["result"]["risk"] <= 1
    picture = Image.open(io.BytesIO(hospital.file(images, "overlay.png")))
    assert (picture.format, min(picture.size) > 50) == ("PNG", True)
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(hospital.file(images, "mask.nii.gz")))
    assert list(mask.shape) == images["result"]["shape"]

    # The backend is down, and each try fails.
    failed_tries = "SELECT count(DISTINCT delivery_id) FROM delivery_tries WHERE status IS NULL"
    wait_until(lambda: hospital.rows(failed_tries) == [(3,)], hospital.log)
    with Django(hospital.port) as django:
        mm = multimodal(hospital)
        hospital.ended(mm["ai_req_id"])
        wait_until(lambda: hospital.deliveries() == [("delivered", 4)], hospital.log, START_S)
    check_callbacks(hospital, django.callbacks)
    rows = hospital.rows("SELECT processor, case_id, state FROM jobs JOIN runs USING (job_id) ORDER BY external_id")
    assert rows == [
        ("mri", "P-7", "COMPLETED"),
        ("gene-expression", "P-7", "COMPLETED"),
        ("gene-expression", "P-8", "FAILED"),
        ("multimodal", "P-7", "COMPLETED"),
    ]


def multimodal(hospital: Hospital) -> Any:
    """Choose what MM may use for the patient, as a person does from the listing, and ask for it."""
    upload = requests.post(
        f"{hospital.url}/v1/uploads",
        params={"kind": "biomarker", "case_id": "P-7", "filename": "p.csv", "label": LABELS},
        data=PROTEINS,
        headers={"Content-Type": "text/csv"},
        timeout=30,
    )
    assert upload.status_code == 201, upload.text
    listed = hospital.get("/api/ai/patients/P-7/mm-inputs/", "mm_inputs")
    assert [one["ai_req_id"] for part in ("m1", "mg") for one in listed[part]] == ["ai_req_0001", "ai_req_0002"]
    assert [one["upload_id"] for one in listed["biomarkers"]] == [upload.json()["upload_id"]]
    chosen: dict[str, Any] = {"m1_ai_req_id": "ai_req_0001", "mg_ai_req_id": "ai_req_0002"}
    chosen["biomarker_upload_id"] = listed["biomarkers"][0]["upload_id"]
    mm: dict[str, Any] = {"ai_req_id": "ai_req_0004", "model": "MM", "patient_id": "P-7", "age": 61, "sex": "female"}
    hospital.post(422, **mm | {"patient_id": "P-8"}, **chosen)  # never across patients
    assert hospital.get("/api/ai/patients/P-8/mm-inputs/", "mm_inputs")["mg"] == []
    return hospital.post(**mm, **chosen)


def check_callbacks(hospital: Hospital, callbacks: list[tuple[str, str, Any]]) -> None:
    """Each outcome came once, at the backend's own address, with the files that the door has."""
    bodies = {body["ai_req_id"]: check("callback", body) for _, _, body in callbacks}
    assert sorted(body["ai_req_id"] for _, _, body in callbacks) == [f"ai_req_000{n}" for n in (1, 2, 3, 4)]
    for path, kind, body in callbacks:
        query = "?ward=3&x=%2F" if body["ai_req_id"] == "ai_req_0003" else ""
        assert (path, kind) == (f"/cdss/api/ai/callback/{query}", "application/json")
        inference = hospital.get(f"/api/ai/inferences/{body['ai_req_id']}/", "inference")
        assert (body["job_id"], body["status"]) == (inference["job_id"], inference["status"])
        for name, content in body.get("files", {}).items():
            assert base64.b64decode(content) == hospital.file(inference, name)
    assert bodies["ai_req_0003"]["error_code"] == "INVALID_INPUT"
    assert bodies["ai_req_0004"]["result"]["missing"] == []
