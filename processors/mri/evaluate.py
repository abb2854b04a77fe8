"""Measure the network of `mri` and write its model card: `python -m processors.mri.evaluate`.

Every volume is processed like a job: a file in, the processor's mask in the file's geometry out, every false voxel counted.
Colin27 is a head that nothing was trained on: untouched, and with lesions put into its real T1. The made-up brains
are those of the card of `segmentation`, by the same seeds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from processors.local import claim_of, loaded, path_of, run_one
from processors.mri.card import CARD, Interval, Row, Untouched, card, elsewhere
from processors.mri.contract import MriInput
from processors.mri.heads import Head, colin27, colin27_file, mni152, s1, sri24
from processors.mri.processor import Mri
from processors.mri.volumes import RealVolume, insert_lesions
from processors.segmentation import evaluate as family
from processors.segmentation.baseline import Rule, tune
from processors.segmentation.card import CARD as OTHER_CARD
from processors.segmentation.card import SIZES, with_elsewhere
from processors.segmentation.deformation import HELD_OUT
from processors.segmentation.grid import to_model
from processors.segmentation.lesions import draw_volumes
from processors.segmentation.processor import Segmentation
from processors.segmentation.reading import read_volume
from processors.segmentation.samples import dice_of, load_mask, save_case
from schemas.records import SegmentationInput

log = structlog.get_logger()

COLIN_SEED = 82_000_001
TUNING_SEED = 89_000_001
BOOTSTRAP_SEED = 83_000_001
VOLUMES = 12
TUNING_VOLUMES = 4
RESAMPLES = 10_000
BRIGHTEST = 4095

BoolArray = NDArray[np.bool_]
#: A file of a volume → its mask, in the file's geometry.
Masks = Callable[[Path], BoolArray]

# nibabel's classes carry no annotations.
_nifti: Any = nib.nifti1


@dataclass(frozen=True, slots=True)
class VolumeScore:
    """A volume: Dice of the network and of thresholding, lesions there and found (touched), false voxels in ml (all, and in
    blobs that touch no lesion), seconds from file to mask."""

    dice: float
    baseline: float
    lesions: int
    found: int
    false_ml: float
    seconds: float


def masks_of_mri(folder: Path) -> Masks:
    """The shipped network, as the processor `mri` runs it."""
    processor = loaded(Mri)
    return lambda path: load_mask(path_of(run_one(processor, MriInput(claim_of(path)), folder).mask)) > 0


def masks_of_segmentation(folder: Path) -> Masks:
    """The older network, as the processor `segmentation` runs it."""
    processor = loaded(Segmentation)
    return lambda path: load_mask(path_of(run_one(processor, SegmentationInput(claim_of(path)), folder).mask)) > 0


def untouched(masks: Masks) -> Untouched:
    """Colin27 as its file is: whatever is found is false."""
    path = colin27_file()
    image = _nifti.load(path)
    started = time.process_time()
    mask = masks(path)
    seconds = time.process_time() - started
    _, blobs = ndimage.label(mask, np.ones((3, 3, 3)))
    data = np.asarray(image.dataobj, dtype=np.float32)
    dark = float((data[mask] < colin27().levels[1] * _white(data)).mean()) if mask.any() else 0.0
    return Untouched(float(mask.sum()) * _voxel_ml(image.affine), int(blobs), dark, seconds)


def colin_case(size: int, index: int) -> RealVolume:
    """Volume number `index` of a size class: Colin27's T1 with one to four lesions, all of that class."""
    return real_case(colin27(), size, COLIN_SEED, index)


def real_case(head: Head, size: int, seed: int, index: int) -> RealVolume:
    rng = np.random.default_rng([seed, size, index])
    return insert_lesions(head, draw_volumes(size, int(rng.integers(1, 5)), rng), rng)


def tuned_rule(size: int, folder: Path) -> Rule:
    """Thresholding's best rule for a size class, on the heads of the training with lesions put in the same way."""
    cases = []
    for head in (mni152(), s1(), sri24()):
        for index in range(TUNING_VOLUMES):
            path, truth = _saved(real_case(head, size, TUNING_SEED, index), folder)
            view = to_model(read_volume(path))
            cases.append((*family.image_and_brain(view), view.there(truth.astype(np.float32)) > 0.5))
    rule, dice = tune(cases)
    log.info("thresholding tuned", size=SIZES[size], rule=rule, dice_on_training_heads=round(dice, 3))
    return rule


def on_colin(masks: Masks, size: int, rule: Rule | None, volumes: int, folder: Path) -> Iterator[VolumeScore]:
    """Measure Colin27 with lesions of a size class; without a rule thresholding is left out."""
    for index in range(volumes):
        path, truth = _saved(colin_case(size, index), folder)
        yield _measured(masks, path, truth, rule)


def on_family(masks: Masks, size: int, volumes: int, folder: Path) -> Iterator[VolumeScore]:
    """Measure the made-up brains of the card of `segmentation`: the same seeds, so the same volumes."""
    for index in range(volumes):
        path, truth_path = folder / "volume.nii.gz", folder / "truth.nii.gz"
        save_case(family.size_case(HELD_OUT, size, family.TEST_SEED, index), path, truth_path)
        yield _measured(masks, path, load_mask(truth_path) > 0, None)


def interval(values: list[float]) -> Interval:
    """The mean, and its 95 % interval by the percentile bootstrap over volumes."""
    seen = np.array(values)
    picks = np.random.default_rng(BOOTSTRAP_SEED).integers(0, seen.size, (RESAMPLES, seen.size))
    low, high = np.percentile(seen[picks].mean(1), [2.5, 97.5])
    return Interval(float(seen.mean()), float(low), float(high))


def summarised(size: int, measured: list[VolumeScore], rule: Rule | None) -> Row:
    """A row of a table. The gain over thresholding is paired: of each volume's own difference."""
    dices = [one.dice for one in measured]
    return Row(
        size=size,
        volumes=len(measured),
        dice=interval(dices),
        median=float(np.median(dices)),
        worst=min(dices),
        lesions=sum(one.lesions for one in measured),
        found=sum(one.found for one in measured),
        false_ml=float(np.mean([one.false_ml for one in measured])),
        baseline=float(np.mean([one.baseline for one in measured])),
        gain=interval([one.dice - one.baseline for one in measured]),
        rule=rule,
        seconds=float(np.median([one.seconds for one in measured])),
    )


def _measured(masks: Masks, path: Path, truth: BoolArray, rule: Rule | None) -> VolumeScore:
    started = time.process_time()
    mask = masks(path)
    seconds = time.process_time() - started
    lesions, found, _ = family.touching(mask, truth)
    blobs, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    false = mask & ~np.isin(blobs, np.unique(blobs[mask & truth]))
    voxel_ml = _voxel_ml(_nifti.load(path).affine)
    baseline = dice_of(family.baseline_mask(path, rule), truth) if rule is not None else 0.0
    return VolumeScore(dice_of(mask, truth), baseline, lesions, found, float(false.sum()) * voxel_ml, seconds)


def _saved(volume: RealVolume, folder: Path) -> tuple[Path, BoolArray]:
    """The volume as a file of 12-bit integers, as scanners give it, and its truth."""
    path = folder / "volume.nii.gz"
    scaled = np.round(volume.image * (BRIGHTEST / float(volume.image.max()))).astype(np.int16)
    image = _nifti.Nifti1Image(scaled, volume.affine)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
    return path, volume.truth > 0


def _white(data: NDArray[np.float32]) -> float:
    """Colin27's white matter in the file's own unit: heads are scaled to 1 there."""
    head = colin27()
    return float(data.max() / head.maps[0, 0].max())


def _voxel_ml(affine: NDArray[Any]) -> float:
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000.0


def measure_part(part: str, size: int, volumes: int) -> Row:
    """Measure one table's row: "colin" by `mri`, "old" by `segmentation`, or "made" of made-up brains."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, rule = Path(name), None
        if part == "colin":
            rule = tuned_rule(size, folder)
        masks = masks_of_segmentation(folder) if part == "old" else masks_of_mri(folder)
        if part == "made":
            measured = list(on_family(masks, size, family.VOLUMES, folder))
        else:
            measured = list(on_colin(masks, size, rule, volumes, folder))
    row = summarised(size, measured, rule)
    log.info("measured", part=part, size=SIZES[size], dice=row.dice, gain=row.gain)
    return row


def measure_all(volumes: int, processes: int) -> None:
    """Measure everything and write both cards."""
    with tempfile.TemporaryDirectory() as name:
        plain, plain_old = untouched(masks_of_mri(Path(name))), untouched(masks_of_segmentation(Path(name)))
    log.info("untouched", mri=plain, segmentation=plain_old)
    parts = [(part, size) for part in ("colin", "made", "old") for size in range(len(SIZES))]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(measure_part, *zip(*parts, strict=True), [volumes] * len(parts)))
    colin, made, old = (rows[start : start + len(SIZES)] for start in range(0, len(rows), len(SIZES)))
    CARD.write_text(card(plain, colin, made, plain_old, old))
    OTHER_CARD.write_text(with_elsewhere(OTHER_CARD.read_text(), elsewhere(plain_old, old)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=VOLUMES, help="volumes of Colin27 for each size class")
    parser.add_argument("--processes", type=int, default=1, help="rows of the tables that are measured side by side")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measure_all(options.volumes, options.processes)


if __name__ == "__main__":
    main()
