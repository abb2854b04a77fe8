"""Slices of a volume and of the mask over it, as PNG pictures.

Volumes are turned into patient space (RAS+: right, anterior, superior) by their affine. Each slice is then shown as
radiologists see it: the patient's right is on the left side of axial and coronal pictures. Nothing is mirrored: the
letters at the edges say where each side is, and both pictures are cut from the same axes.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

#: Axis of RAS+ of each view, and the letters at the left, right, top and bottom edge.
VIEWS = {"axial": (2, "RLAP"), "coronal": (1, "RLSI"), "sagittal": (0, "APSI")}
#: Colour of the mask: seen against grey by people with any colour vision.
COLOUR = (255, 140, 0)
_LOADING = threading.Lock()


class CannotShow(Exception):
    """The files make no picture. The message is for the page."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume in RAS+. `grey`: 0 to 255. `mask`: True in a lesion. `spacing`: mm between voxels, by axis.

    `largest`: the voxel of the largest lesion through which its greatest cut goes, by axis; None without a lesion.
    """

    grey: Any
    mask: Any
    spacing: tuple[float, float, float]
    largest: tuple[int, int, int] | None

    def about(self) -> dict[str, Any]:
        """Return, for each view: number of slices, size and step in mm, letters at the edges, mask area by slice in mm²."""
        views = {}
        for name, (axis, letters) in VIEWS.items():
            across, up = (each for each in range(3) if each != axis)
            area = self.mask.sum(axis=(across, up)) * self.spacing[across] * self.spacing[up]
            views[name] = {
                "slices": int(self.grey.shape[axis]),
                "width_mm": round(self.grey.shape[across] * self.spacing[across], 2),
                "height_mm": round(self.grey.shape[up] * self.spacing[up], 2),
                "step_mm": round(self.spacing[axis], 2),
                "letters": letters,
                "area_mm2": [round(float(each), 1) for each in area],
                "largest": None if self.largest is None else self.largest[axis],
            }
        return {"views": views}

    def picture(self, view: str, index: int, layer: str) -> bytes:
        """Return a slice as PNG: layer `volume` in grey, or `mask`, transparent outside of lesions. Raises IndexError."""
        axis, _ = VIEWS[view]
        if not 0 <= index < self.grey.shape[axis]:
            raise IndexError(index)
        cut = np.ascontiguousarray((self.grey if layer == "volume" else self.mask).take(index, axis).T[::-1, ::-1])
        if layer == "volume":
            image = Image.fromarray(cut)
        else:
            image = Image.fromarray(cut.astype(np.uint8))
            image.putpalette((0, 0, 0, *COLOUR))
        file = BytesIO()
        image.save(file, "PNG", **({} if layer == "volume" else {"transparency": 0}))
        return file.getvalue()


def nifti_volume(volume: Path, mask: Path | None) -> Volume:
    """Return the volume of a NIfTI file, and the mask over it. Kept in memory for the next slices. Raises CannotShow."""
    with _LOADING:  # the first pictures of a page ask at once
        return _nifti_volume(volume, mask)


@lru_cache(maxsize=3)
def _nifti_volume(volume: Path, mask: Path | None) -> Volume:
    image = _opened(volume)
    data = np.asarray(image.dataobj, np.float32)
    if mask is None:
        return made(data, np.zeros(data.shape, bool), image.header.get_zooms()[:3])
    over = _opened(mask)
    if over.shape != image.shape or not np.allclose(over.affine, image.affine, atol=1e-2):
        raise CannotShow("The mask has another geometry than the volume, so it can't be laid over it.")
    return made(data, np.asarray(over.dataobj) > 0, image.header.get_zooms()[:3])


def _opened(path: Path) -> Any:
    """Return the NIfTI image of a file, compressed or not whatever its name says, with its axes turned to RAS+."""
    content = path.read_bytes()
    try:
        image = nib.Nifti1Image.from_bytes(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except (
        OSError,
        ValueError,
        EOFError,
        zlib.error,
        nib.spatialimages.HeaderDataError,
        nib.wrapstruct.WrapStructError,
    ):
        raise CannotShow("The file is no NIfTI volume, so there are no slices to show.") from None
    if len(image.shape) != 3:
        raise CannotShow(f"The volume has {len(image.shape)} dimensions; the viewer shows three.")
    return nib.as_closest_canonical(image)


def made(data: Any, mask: Any, spacing: Any) -> Volume:
    """Return a volume from intensities and mask in RAS+. The window of grey is percentile 1 to 99.5 of the head."""
    finite = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
    head = finite[finite > finite.mean() * 0.1]
    low, high = np.percentile(head, (1, 99.5)) if head.size else (0.0, 1.0)
    grey = np.clip((finite - min(low, 0.0)) * (255 / max(high - min(low, 0.0), 1e-6)), 0, 255).astype(np.uint8)
    x, y, z = (float(each) for each in spacing)
    return Volume(grey, mask, (x, y, z), largest_lesion(mask))


def largest_lesion(mask: Any) -> tuple[int, int, int] | None:
    """Return, for each axis, the slice in which the largest lesion (voxels that share faces) has its greatest area."""
    left = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    largest: list[tuple[int, ...]] = []
    while left:
        lesion, border = [], deque([left.pop()])
        while border:
            x, y, z = border.popleft()
            lesion.append((x, y, z))
            for next_to in ((x - 1, y, z), (x + 1, y, z), (x, y - 1, z), (x, y + 1, z), (x, y, z - 1), (x, y, z + 1)):
                if next_to in left:
                    left.remove(next_to)
                    border.append(next_to)
        largest = max(largest, lesion, key=len)
    if not largest:
        return None
    x, y, z = (int(np.bincount(each).argmax()) for each in np.array(largest).T)
    return x, y, z
