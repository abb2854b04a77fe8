"""A lab machine as it was before sluice: polls the server, segments a series of Orthanc, stores a DICOM SEG, reports.

It knows nothing of sluice's engine: it speaks the old HTTP contract with `requests`. Of sluice it only borrows the network
and the DICOM reader and writer, which are its `src/`. The settings have the old names:

    DJANGO_API_URL ORTHANC_URL ORTHANC_USER ORTHANC_PASSWORD MODEL_PATH DEVICE THRESHOLD POLL_INTERVAL

SERIES_FOLDER, for machines without Orthanc, is a folder with one of files for each series; the SEG is stored there.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import requests
from pydicom.uid import generate_uid

API = os.environ.get("DJANGO_API_URL", "http://localhost:9000/api/mri").rstrip("/") + "/segmentation"
ORTHANC = os.environ.get("ORTHANC_URL", "").rstrip("/")
LOGIN = (os.environ.get("ORTHANC_USER", ""), os.environ.get("ORTHANC_PASSWORD", ""))
FOLDER = Path(os.environ.get("SERIES_FOLDER", "."))
MODEL_PATH = os.environ.get("MODEL_PATH", "")
DEVICE = os.environ.get("DEVICE", "cpu")
THRESHOLD = float(os.environ.get("THRESHOLD", "0.5"))
POLL_INTERVAL = float(os.environ.get("POLL_INTERVAL", "30"))

log = logging.getLogger("mri-inference-worker")


def main() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.Formatter.converter = time.gmtime
    from processors.local import LocalLoadContext
    from processors.mri.loading import load_model
    from processors.mri_lab.processor import MriLab

    options = {"MODEL_PATH": MODEL_PATH} if MODEL_PATH else {}
    model = load_model(LocalLoadContext(MriLab, DEVICE, options=options))
    log.info("the model is loaded; polling every %g s", POLL_INTERVAL)
    while True:
        for request in pending():
            work_on(request, model)
        time.sleep(POLL_INTERVAL)


def pending() -> list[dict[str, Any]]:
    try:
        answer = requests.get(f"{API}/pending-requests/", timeout=30).json()
    except requests.RequestException as error:
        log.warning("the server is unreachable (%s); polling goes on", type(error).__name__)
        return []
    return list(answer.get("requests", []))


def work_on(request: dict[str, Any], model: Any) -> None:
    number = request["id"]
    log.info("request %s: started", number)
    report("update-status", number, {"status": "processing"})
    try:
        result = segment(str(request["series_id"]), model)
    except Exception as error:  # the server must hear of every failure
        log.exception("request %s: failed", number)
        report("complete-request", number, {"success": False, "error": f"{type(error).__name__}: see the worker's log"})
        return
    report("complete-request", number, {"success": True, **result})
    log.info("request %s: completed", number)


def report(path: str, number: str, body: dict[str, Any]) -> None:
    requests.post(f"{API}/{path}/{number}/", json=body, timeout=30).raise_for_status()


def segment(series_id: str, model: Any) -> dict[str, Any]:
    """Download the series, run the network, store the SEG; return the body of the completion."""
    from processors.mri import segment as network
    from processors.mri_lab.dicom_seg import SegUids, write_seg
    from processors.mri_lab.series import read_series
    from processors.segmentation.components import count_components

    with tempfile.TemporaryDirectory() as folder:
        series = read_series(download(series_id, Path(folder)))
        mask = (network.segment(model, series.volume) > THRESHOLD).astype(np.uint8)
        uids, path = SegUids(generate_uid(), generate_uid()), Path(folder) / "seg.dcm"
        write_seg(mask, series.headers, uids, path, model="old worker", model_sha256=model.sha256)
        orthanc_id = store(series_id, path)
    count = count_components(mask)
    return {
        "segmentation_instance_uid": uids.instance,
        "segmentation_series_uid": uids.series,
        "orthanc_id": orthanc_id,
        "found": count > 0,
        "lesion_volume_mm3": int(mask.sum()) * series.volume.voxel_mm3,
        "lesion_count": count,
        "threshold": THRESHOLD,
        "device": DEVICE,
    }


def download(series_id: str, folder: Path) -> list[Path]:
    if not ORTHANC:
        return sorted((FOLDER / series_id).glob("*.dcm"))
    paths = []
    for number, instance in enumerate(orthanc("GET", f"/series/{series_id}").json()["Instances"]):
        path = folder / f"{number:04}.dcm"
        path.write_bytes(orthanc("GET", f"/instances/{instance}/file").content)
        paths.append(path)
    return paths


def store(series_id: str, path: Path) -> str:
    """Store the SEG; return its id."""
    if ORTHANC:
        return str(orthanc("POST", "/instances", data=path.read_bytes()).json()["ID"])
    target = FOLDER / f"{series_id}-seg.dcm"
    partial = target.with_suffix(f".{uuid4().hex}")
    partial.write_bytes(path.read_bytes())
    partial.rename(target)
    return target.name


def orthanc(method: str, path: str, **options: Any) -> requests.Response:
    answer = requests.request(method, ORTHANC + path, auth=LOGIN, timeout=60, **options)
    answer.raise_for_status()
    return answer


if __name__ == "__main__":
    main()
