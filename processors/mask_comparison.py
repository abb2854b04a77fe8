"""Compares two masks of one volume (NIfTI): Dice, volumes, and a picture of where they differ most. Needs numpy and nibabel.

Serving does not use it: reports of shadow runs do (docs/shadow_runs.md).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.segmentation.components import component_labels
from processors.segmentation.nifti import read_mask
from processors.segmentation.volume import Volume
from schemas.errors import InvalidInput

Labels = NDArray[np.int32]

MOST_GROUPED = 300_000
#: More labels are compared as one foreground only.
MOST_LABELS = 50
LARGEST_LABEL = 1_000_000
#: Voxels around the masks that the picture shows as well, and the longest side of a picture in pixels.
MARGIN, LONGEST_SIDE = 6, 512
#: Colours that people with any colour vision tell apart: nothing, both masks, only the first, only the second.
PALETTE = np.array([(24, 24, 28), (205, 205, 205), (230, 159, 0), (86, 180, 233)], dtype=np.uint8)
#: Two geometries are one if every number of the transforms differs by less, in millimetres.
SAME_PLACE_MM = 1e-3


@dataclass(frozen=True, slots=True)
class MaskDifference:
    """`dice`: overlap of everything above 0, 1 if both masks are empty. `labels`: Dice by label, if there are several.
    `differing`: number of voxels with another label. `level`: the slice along the third axis that `picture` shows, as PNG;
    None and empty if the masks are equal. `width_mm`, `height_mm`: of what the picture shows."""

    dice: float
    before_ml: float
    after_ml: float
    differing: int
    labels: dict[int, float]
    level: int | None = None
    picture: bytes = b""
    width_mm: float = 0.0
    height_mm: float = 0.0


def compare_masks(before: Path, after: Path) -> MaskDifference:
    """Compare two files. Raises InvalidInput if one can't be read, or if they are not masks of one volume."""
    first, second = read_mask(before), read_mask(after)
    if first.data.shape != second.data.shape:
        raise InvalidInput(f"The masks have other shapes: {_sides(first)} and {_sides(second)} voxels.")
    if not np.allclose(first.affine, second.affine, atol=SAME_PLACE_MM):
        raise InvalidInput("The masks have the same shape but lie at other places.")
    one, other = _labels(first), _labels(second)
    differs = one != other
    count, voxel_ml = int(differs.sum()), first.voxel_mm3 / 1000
    values = np.union1d(np.unique(one), np.unique(other))
    values = values[values > 0]
    difference = MaskDifference(
        dice_of(one > 0, other > 0),
        int((one > 0).sum()) * voxel_ml,
        int((other > 0).sum()) * voxel_ml,
        count,
        {int(value): dice_of(one == value, other == value) for value in values}
        if 1 < len(values) <= MOST_LABELS
        else {},
    )
    return difference if not count else _with_picture(difference, one, other, differs, first)


def dice_of(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return twice the overlap over the sum of both sizes; 1 if both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def worst_level(differs: NDArray[np.bool_]) -> int:
    """Return the middle slice, along the third axis, of the largest group of voxels that differ and touch."""
    if int(differs.sum()) > MOST_GROUPED:
        return int(differs.sum(axis=(0, 1)).argmax())
    voxels = np.argwhere(differs)
    labels = component_labels(voxels)
    largest = np.bincount(labels).argmax()
    levels = np.sort(voxels[labels == largest, 2])
    return int(levels[len(levels) // 2])


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode rows of RGB pixels as PNG."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), dtype=np.uint8), pixels.reshape(height, width * 3)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _with_picture(
    difference: MaskDifference, one: Labels, other: Labels, differs: NDArray[np.bool_], geometry: Volume
) -> MaskDifference:
    level = worst_level(differs)
    first, second, wrong = one[:, :, level], other[:, :, level], differs[:, :, level]
    # Where both are labelled, but differently, the second's colour shows that it differs.
    colours = np.where((first > 0) & (second > 0) & ~wrong, 1, np.where(second > 0, 3, np.where(first > 0, 2, 0)))
    shown = _shown((first > 0) | (second > 0))
    colours = colours[shown]
    step = max(1, -(-max(colours.shape) // LONGEST_SIDE))
    spacing = geometry.spacing
    # The first axis goes to the right, the second one up.
    pixels = PALETTE[np.rot90(colours[::step, ::step])]
    return MaskDifference(
        difference.dice,
        difference.before_ml,
        difference.after_ml,
        difference.differing,
        difference.labels,
        level,
        png(pixels),
        float(colours.shape[0] * spacing[0]),
        float(colours.shape[1] * spacing[1]),
    )


def _shown(labelled: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the box of everything labelled, with a margin."""
    rows, columns = np.flatnonzero(labelled.any(axis=1)), np.flatnonzero(labelled.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - MARGIN), int(rows[-1]) + MARGIN + 1),
        slice(max(0, int(columns[0]) - MARGIN), int(columns[-1]) + MARGIN + 1),
    )


def _labels(volume: Volume) -> Labels:
    """Return whole numbers; a mask of probabilities counts from one half on, and what is no label is background."""
    labels: Labels = np.rint(np.clip(np.nan_to_num(volume.data), 0, LARGEST_LABEL)).astype(np.int32)
    return labels


def _sides(volume: Volume) -> str:
    return " x ".join(map(str, volume.data.shape))
