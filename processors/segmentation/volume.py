"""A volume in memory, and the checks that every volume must pass, whatever file it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InvalidInput, PayloadTooLarge

FloatArray = NDArray[np.float32]
Affine = NDArray[np.float64]

#: 400 voxels cubed. A file says its size before its data is read, so nothing larger is ever unpacked.
MAX_VOXELS = 64_000_000
MIN_SIDE = 8
SPACING_MM = (0.2, 10.0)


@dataclass(frozen=True, slots=True)
class Volume:
    """`data`: intensities by voxel, three axes. `affine`: voxel index to scanner millimetres, R-A-S.

    `nifti_header`: nibabel's header of the file it came from; None if it was not NIfTI.
    """

    data: FloatArray
    affine: Affine
    nifti_header: Any = None

    @property
    def spacing(self) -> Affine:
        return spacing_of(self.affine)

    @property
    def voxel_mm3(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def without_data(self) -> Volume:
        """The geometry alone, for a job that no longer needs the intensities."""
        return replace(self, data=np.empty((0, 0, 0), dtype=np.float32))


def spacing_of(affine: Affine) -> Affine:
    """Millimetres between voxels along each axis."""
    lengths: Affine = np.linalg.norm(affine[:3, :3], axis=0)
    return lengths


def check_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The three sides of a volume, before any of its data is read. Raises InvalidInput, PayloadTooLarge."""
    if len(shape) < 3 or any(side != 1 for side in shape[3:]):
        raise InvalidInput(
            f"The volume has {len(shape)} axes; three are needed.", next_step="Send one 3-D volume a job."
        )
    first, second, third = shape[:3]
    if min(first, second, third) < MIN_SIDE:
        raise InvalidInput(
            f"The volume of {first} x {second} x {third} voxels is too thin: {MIN_SIDE} a side are needed."
        )
    if math.prod((first, second, third)) > MAX_VOXELS:
        raise PayloadTooLarge(
            f"The volume of {first} x {second} x {third} voxels is too large: at most {MAX_VOXELS:,} fit."
        )
    return first, second, third


def check_affine(affine: Affine) -> Affine:
    """Refuse a geometry that no scanner makes. Raises InvalidInput."""
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InvalidInput("The volume's geometry (affine) can't be inverted.")
    low, high = SPACING_MM
    spacing = spacing_of(affine)
    if spacing.min() < low or spacing.max() > high:
        sides = " x ".join(f"{side:.3g}" for side in spacing)
        raise InvalidInput(f"Voxels of {sides} mm: each side must lie between {low} and {high} mm.")
    return affine


def check_data(data: FloatArray) -> FloatArray:
    """Refuse intensities that can't be segmented. Raises InvalidInput."""
    low, high = float(data.min()), float(data.max())
    if not math.isfinite(low) or not math.isfinite(high):
        count = int(data.size - np.isfinite(data).sum())
        raise InvalidInput(f"The volume has {count:,} voxels that are NaN or infinite.")
    if low == high:
        raise InvalidInput("The volume is constant: every voxel has the same value.")
    return data
