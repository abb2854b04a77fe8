"""Makes MR volumes with known lesions, as files: the demo submits them, and the evaluation measures on them.

The brains are of the held-out family of deformations, which training never sees; each volume has a scanner geometry of
its own: axes in any order and direction, turned, with voxels of 0.9 to 1.1 mm.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from processors.segmentation.anatomy import Anatomy, FloatArray, load_anatomy
from processors.segmentation.deformation import HELD_OUT, Deformation, Family, rotation
from processors.segmentation.lesions import LARGEST_ML, SMALLEST_ML
from processors.segmentation.nifti import GZIP_MAGIC
from processors.segmentation.synthesis import Phantom, draw_subject

SPACING_MM = (0.9, 1.1)
OBLIQUE_DEG = 5.0
#: Background round the brain: room for the elastic part, which the box does not follow.
BORDER_MM = 6.0
BRIGHTEST = 4095

# nibabel's classes carry no annotations.
_nifti: Any = nib.nifti1


@dataclass(frozen=True, slots=True)
class Sample:
    """`path`: the volume. `truth_path`: its mask, 1 = lesion. `lesion_ml`: all lesions together.
    `weighting`: T1, T2 or FLAIR."""

    path: Path
    truth_path: Path
    lesion_ml: float
    lesion_count: int
    weighting: str


@dataclass(frozen=True, slots=True)
class Case:
    """A made-up volume on a scanner's grid."""

    phantom: Phantom
    affine: FloatArray
    weighting: str


def make_samples(folder: Path, count: int, seed: int) -> list[Sample]:
    """`count` volumes of one to four lesions each, of any size; the same seed makes the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_make_sample(folder, index, np.random.default_rng([seed, index])) for index in range(count)]


def make_case(family: Family, volumes_ml: list[float], rng: np.random.Generator) -> Case:
    """Make a brain of the family with lesions of these volumes, on a grid that just holds it."""
    subject = draw_subject(load_anatomy(), family, rng)
    shape, affine = _draw_grid(subject.anatomy, subject.deformation, rng)
    return Case(subject.render(shape, affine, volumes_ml, rng), affine, subject.weighting)


def save_case(case: Case, path: Path, truth_path: Path) -> None:
    """The volume as 12-bit integers, as scanners give it, and the truth beside it."""
    scaled = np.round(case.phantom.image * (BRIGHTEST / max(float(case.phantom.image.max()), 1e-6))).astype(np.int16)
    for data, target in ((scaled, path), (case.phantom.truth, truth_path)):
        image = _nifti.Nifti1Image(data, case.affine)
        image.header.set_xyzt_units("mm")
        image.to_filename(target)


def dice(mask_path: Path, truth_path: Path) -> float:
    """Twice the common voxels over all voxels of both masks; 1 when both are empty."""
    return dice_of(load_mask(mask_path), load_mask(truth_path))


def dice_of(mask: NDArray[Any], truth: NDArray[Any]) -> float:
    found, known = mask > 0, truth > 0
    total = int(found.sum()) + int(known.sum())
    return 1.0 if total == 0 else 2.0 * int((found & known).sum()) / total


def load_mask(path: Path) -> NDArray[np.uint8]:
    mask: NDArray[np.uint8] = np.asarray(_image(path).dataobj, dtype=np.uint8)
    return mask


def render(volume: Path, mask: Path, truth: Path, out_png: Path) -> None:
    """A picture of the axial slice with most true lesion: the image, and on it the true and the predicted outline."""
    image, found, known = (_canonical(path) for path in (volume, mask, truth))
    level = int(known.sum(axis=(0, 1)).argmax())
    figure = Figure(figsize=(9, 5), facecolor="black", layout="constrained")
    for column, title in enumerate(("volume", "true lesion (green), predicted (red)")):
        axes = figure.add_subplot(1, 2, column + 1)
        axes.imshow(image[:, :, level].T, cmap="gray", origin="lower")
        axes.set_title(title, color="white", fontsize=10)
        axes.set_axis_off()
    for plane, colour in ((known, "lime"), (found, "red")):
        if plane[:, :, level].any():
            axes.contour(plane[:, :, level].T, [0.5], colors=colour, linewidths=0.9)
    figure.savefig(out_png, dpi=110)


def _make_sample(folder: Path, index: int, rng: np.random.Generator) -> Sample:
    sizes = np.exp(rng.uniform(np.log(SMALLEST_ML), np.log(LARGEST_ML), rng.integers(1, 5))).tolist()
    case = make_case(HELD_OUT, sizes, rng)
    path, truth_path = folder / f"sample-{index:03d}.nii.gz", folder / f"sample-{index:03d}-truth.nii.gz"
    save_case(case, path, truth_path)
    lesions = case.phantom.lesions
    return Sample(path, truth_path, sum(lesion.ml for lesion in lesions), len(lesions), case.weighting)


def _draw_grid(
    anatomy: Anatomy, deformation: Deformation, rng: np.random.Generator
) -> tuple[tuple[int, int, int], FloatArray]:
    """A random scanner geometry whose box holds the whole brain."""
    turn = np.eye(3, dtype=np.float32)
    for axis in range(3):
        turn = turn @ rotation(axis, np.deg2rad(rng.uniform(-OBLIQUE_DEG, OBLIQUE_DEG)))
    axes = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
    directions = (turn @ axes).astype(np.float32)
    spacing = rng.uniform(*SPACING_MM, 3)
    along = deformation.locate(_brain_points(anatomy)) @ directions
    low, high = along.min(0) - BORDER_MM, along.max(0) + BORDER_MM
    first, second, third = np.ceil((high - low) / spacing).astype(int).tolist()
    affine = np.eye(4, dtype=np.float32)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = directions @ low
    return (first, second, third), affine


def _brain_points(anatomy: Anatomy) -> FloatArray:
    """Every eighth voxel of the brain along each axis, in millimetres."""
    voxels = np.argwhere(anatomy.maps[0, 3, ::8, ::8, ::8].numpy() > 0) * 8
    points: FloatArray = (voxels @ anatomy.affine[:3, :3].T + anatomy.affine[:3, 3]).astype(np.float32)
    return points


def _image(path: Path) -> Any:
    """The image in a file of any name: a stored mask is named by its hash."""
    content = path.read_bytes()
    return _nifti.Nifti1Image.from_bytes(gzip.decompress(content) if content[:2] == GZIP_MAGIC else content)


def _canonical(path: Path) -> NDArray[np.float32]:
    image: Any = nib.funcs.as_closest_canonical(_image(path))  # type: ignore[no-untyped-call]
    data: NDArray[np.float32] = np.asarray(image.dataobj, dtype=np.float32)
    return data
