"""A DICOM series and its segmentation from Orthanc, as a volume that `slices.py` draws."""

from __future__ import annotations

import threading
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import requests
from django.conf import settings

from ai.slices import CannotShow, Volume, made

#: From DICOM's patient space (left, posterior, superior) to RAS+.
_LPS_TO_RAS = np.diag((-1.0, -1.0, 1.0))


_LOADING = threading.Lock()


def segmentation_of(series_id: str) -> str:
    """Return Orthanc's id of the newest segmentation that refers to a series, or "" if there is none. Raises CannotShow."""
    series = _get(f"/series/{_orthanc_id(series_id)}").json()
    uid = series["MainDicomTags"]["SeriesInstanceUID"]
    found = ""
    for other in _get(f"/studies/{series['ParentStudy']}/series").json():
        if other["MainDicomTags"].get("Modality") != "SEG":
            continue
        headers = _get(f"/instances/{other['Instances'][0]}/tags?short").json()
        if any(each.get("0020,000e") == uid for each in headers.get("0008,1115") or ()):
            found = max(found, f"{other['LastUpdate']} {other['ID']}")
    return found.rpartition(" ")[2]


def series_volume(series_id: str, segmentation_id: str) -> Volume:
    """Return the series as a volume, the segmentation over it ("": none). Kept for the next slices. Raises CannotShow."""
    with _LOADING:  # the first pictures of a page ask at once
        return _series_volume(series_id, segmentation_id)


@lru_cache(maxsize=2)
def _series_volume(series_id: str, segmentation_id: str) -> Volume:
    slices = sorted(
        _instances(_orthanc_id(series_id)), key=lambda each: float(np.dot(_normal(each), each.ImagePositionPatient))
    )
    if not slices or not all(hasattr(each, "ImageOrientationPatient") for each in slices):
        raise CannotShow("The series has no slices in patient space.")
    data = np.stack([each.pixel_array.astype(np.float32) for each in slices], -1)
    mask = np.zeros(data.shape, bool)
    for segmentation in _instances(segmentation_id) if segmentation_id else ():
        _lay_over(mask, slices, segmentation)
    axes = _axes(slices)
    order, signs = _closest(axes)
    turned = tuple(slice(None, None, sign) for sign in signs)
    spacing = np.linalg.norm(axes, axis=0)[list(order)]
    return made(data.transpose(order)[turned], mask.transpose(order)[turned], spacing)


def _lay_over(mask: Any, slices: list[Any], segmentation: Any) -> None:
    """Mark the frames of a DICOM SEG in the mask, each in the slice that has its position."""
    frames = np.atleast_3d(segmentation.pixel_array.astype(bool))
    frames = frames if segmentation.pixel_array.ndim == 3 else frames.transpose(2, 0, 1)
    places = [np.array(each.ImagePositionPatient, float) for each in slices]
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        index = int(np.argmin([np.linalg.norm(place - each) for each in places]))
        if frame.shape != mask.shape[:2] or np.linalg.norm(place - places[index]) > 0.1:
            raise CannotShow("The segmentation has another geometry than the series, so it can't be laid over it.")
        mask[..., index] |= frame


def _axes(slices: list[Any]) -> Any:
    """Return the step in RAS+ mm, one column each, along rows, columns and slices of the stacked array."""
    first, last = slices[0], slices[-1]
    along_row, along_column = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    down, across = (float(each) for each in first.PixelSpacing)
    step = (np.array(last.ImagePositionPatient, float) - np.array(first.ImagePositionPatient, float)) / max(
        len(slices) - 1, 1
    )
    return _LPS_TO_RAS @ np.stack([along_column * down, along_row * across, step], -1)


def _closest(axes: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which array axis lies closest to each axis of RAS+, and 1 or -1 for its direction."""
    order: list[int] = []
    for world in range(3):
        order.append(max((each for each in range(3) if each not in order), key=lambda each: abs(axes[world, each])))
    return tuple(order), tuple(1 if axes[world, each] >= 0 else -1 for world, each in enumerate(order))


def _normal(instance: Any) -> Any:
    return np.cross(*np.array(instance.ImageOrientationPatient, float).reshape(2, 3))


def _instances(series_id: str) -> list[Any]:
    found = _get(f"/series/{series_id}").json().get("Instances", [])
    return [pydicom.dcmread(BytesIO(_get(f"/instances/{each}/file").content)) for each in found]


def _orthanc_id(series_id: str) -> str:
    """Return Orthanc's id of a series that is named by it or by its SeriesInstanceUID."""
    if "-" in series_id:
        return series_id
    found = [each["ID"] for each in _ask("POST", "/tools/lookup", series_id).json() if each["Type"] == "Series"]
    if not found:
        raise CannotShow("Orthanc has no such series.")
    return str(found[0])


def _get(path: str) -> requests.Response:
    return _ask("GET", path)


def _ask(method: str, path: str, data: str | None = None) -> requests.Response:
    if not settings.ORTHANC_URL:
        raise CannotShow("ORTHANC_URL is not set, so there are no pictures.")
    try:
        login = (settings.ORTHANC_USER, settings.ORTHANC_PASSWORD)
        answer = requests.request(method, settings.ORTHANC_URL + path, auth=login, data=data, timeout=30)
        answer.raise_for_status()
    except requests.RequestException:
        raise CannotShow("Orthanc does not answer, or has no such series.") from None
    return answer
