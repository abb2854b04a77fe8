"""The report of a job: volumes, a table of lesions, the model, and warnings, as JSON (report.schema.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from processors.mri.loading import SegmentationModel
from processors.segmentation.components import component_labels
from processors.segmentation.grid import SPACING_MM, SPACING_TOLERANCE
from processors.segmentation.volume import Affine, FloatArray, Volume

FORMAT = "sluice.mri-report/1"
#: Lesions in the table, the largest first.
LISTED = 200
#: Measured: three extracted brains have 1.6 to 1.8 l and touch no face of their volume; two heads with skull have 4.2 and 4.4
#: litres, and their necks cover 28 % and 76 % of a face.
LARGEST_BRAIN_ML = 3000.0
FULL_FACE = 0.2
#: Share of the brain above which a mask is no plausible lesion.
MOST_LESION = 0.3
NOTICE = "Made by a demonstration model on synthetic lesions. Not a medical device: do not use it on patients."
NOTICE_OWN = "Made by a model that this software does not know. Not a medical device."

_aff2axcodes: Any = nib.orientations.aff2axcodes


@dataclass(frozen=True, slots=True)
class FoundLesion:
    """`voxels`: their indices, (n, 3). `centre_mm`: their mean in scanner millimetres, R-A-S. `extent_mm`: size of the smallest
    box along the volume's axes. `peak` and `mean`: probability."""

    voxels: NDArray[np.int64]
    volume_mm3: float
    centre_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]
    peak: float
    mean: float


@dataclass(frozen=True, slots=True)
class Foreground:
    """Of what stands out from the background: its volume, and its share of the fullest of the volume's six faces."""

    ml: float
    fullest_face: float


def foreground_of(greys: NDArray[np.uint8], voxel_mm3: float) -> Foreground:
    """Measure what is not background in a picture of `picture.greys`."""
    faces = [greys.take(end, axis=axis) for axis in range(3) for end in (0, -1)]
    return Foreground(
        int(np.count_nonzero(greys)) * voxel_mm3 / 1000.0, max(float((face > 0).mean()) for face in faces)
    )


def lesions_of(mask: NDArray[np.uint8], probability: FloatArray, geometry: Volume) -> list[FoundLesion]:
    """Return the connected lesions of a mask (26-connectivity), the largest first."""
    voxels = np.argwhere(mask)
    labels = component_labels(voxels)
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    groups = np.split(order, starts[1:]) if len(starts) else []
    made = [_lesion(voxels[group], probability, geometry) for group in groups]
    return sorted(made, key=lambda lesion: (-lesion.volume_mm3, lesion.centre_mm))


def _lesion(voxels: NDArray[np.int64], probability: FloatArray, geometry: Volume) -> FoundLesion:
    affine: Affine = geometry.affine
    seen = probability[tuple(voxels.T)]
    centre = affine[:3, :3] @ voxels.mean(0) + affine[:3, 3]
    extent = (voxels.max(0) - voxels.min(0) + 1) * geometry.spacing
    return FoundLesion(
        voxels,
        len(voxels) * geometry.voxel_mm3,
        _three(centre),
        _three(extent),
        float(seen.max()),
        float(seen.mean()),
    )


def _three(values: Affine) -> tuple[float, float, float]:
    first, second, third = (round(float(value), 2) for value in values)
    return first, second, third


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings that a job's outputs state. `geometry` and `shape`: of the stored volume. `input_sha256`: of its file."""

    geometry: Volume
    shape: tuple[int, ...]
    input_sha256: str
    foreground: Foreground
    threshold: float
    lesions: list[FoundLesion]
    slice_areas_mm2: list[float]

    @property
    def lesion_volume_mm3(self) -> float:
        return sum(len(lesion.voxels) for lesion in self.lesions) * self.geometry.voxel_mm3


def report_of(found: Findings, model: SegmentationModel, version: str, files: Mapping[str, str]) -> bytes:
    """Return the report as JSON in UTF-8. `files`: sha256 of the other outputs by name. The same job has the same bytes."""
    geometry = found.geometry
    made = {
        "format": FORMAT,
        "processor": {"name": "mri", "version": version},
        "model": {
            "name": model.name,
            "sha256": model.sha256,
            "own": model.own,
            "architecture": {**model.architecture.unet, "window": model.window, "peak": model.peak},
        },
        "input": {
            "sha256": found.input_sha256,
            "shape": list(found.shape),
            "spacing_mm": [round(float(side), 4) for side in geometry.spacing],
            "voxel_mm3": geometry.voxel_mm3,
            "axes": "".join(_aff2axcodes(geometry.affine)),
            "foreground_ml": round(found.foreground.ml, 1),
        },
        "threshold": found.threshold,
        "lesion_count": len(found.lesions),
        "lesion_volume_mm3": found.lesion_volume_mm3,
        "lesions": [_row(number + 1, lesion) for number, lesion in enumerate(found.lesions[:LISTED])],
        "lesions_not_listed": max(0, len(found.lesions) - LISTED),
        "slice_areas_mm2": found.slice_areas_mm2,
        "files": dict(files),
        "warnings": list(_warnings(found, model)),
        "notice": NOTICE_OWN if model.own else NOTICE,
    }
    return json.dumps(made, indent=2, ensure_ascii=False).encode()


def _warnings(found: Findings, model: SegmentationModel) -> Iterator[str]:
    """Yield what a reader of the result should know, in sentences."""
    foreground, spacing = found.foreground, found.geometry.spacing
    if foreground.ml > LARGEST_BRAIN_ML or foreground.fullest_face > FULL_FACE:
        yield (
            f"The volume does not look like a whole extracted brain: {foreground.ml / 1000.0:.1f} l stand out from the "
            f"background and cover {foreground.fullest_face:.0%} of one of its faces. Skull, eyes and neck can be taken for "
            "lesions: extract the brain first."
        )
    if (abs(spacing / SPACING_MM - 1.0) > SPACING_TOLERANCE).any():
        sides = " x ".join(f"{side:.2f}" for side in spacing)
        yield f"Voxels of {sides} mm were resampled to 1 mm: small lesions are less certain."
    if found.lesion_volume_mm3 > MOST_LESION * 1000.0 * foreground.ml:
        yield "The mask covers more than 30 % of the brain, which no lesion does: the model does not fit this volume."
    if model.own:
        yield "The weights are the user's own: their accuracy was not measured here."


def _row(number: int, lesion: FoundLesion) -> dict[str, Any]:
    return {
        "number": number,
        "volume_mm3": lesion.volume_mm3,
        "voxels": len(lesion.voxels),
        "centre_mm": list(lesion.centre_mm),
        "extent_mm": list(lesion.extent_mm),
        "peak_probability": round(lesion.peak, 4),
        "mean_probability": round(lesion.mean, 4),
    }
