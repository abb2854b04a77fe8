"""Measure the network on held-out volumes and write its model card: `python -m processors.segmentation.evaluate`.

Every volume is processed like a job: a file is read and segmented by the processor, into a mask in the file's geometry. All
its lesions are of one size class, and every false voxel anywhere in the brain counts against its Dice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from processors.local import claim_of, loaded, path_of, run_one
from processors.segmentation.anatomy import FloatArray
from processors.segmentation.baseline import Rule, tune
from processors.segmentation.card import CARD, SIZES, SizeClass, card
from processors.segmentation.deformation import HELD_OUT, TRAINING, Family
from processors.segmentation.grid import ModelView, to_model
from processors.segmentation.lesions import draw_volumes
from processors.segmentation.processor import Segmentation
from processors.segmentation.reading import read_volume
from processors.segmentation.samples import Case, dice_of, load_mask, make_case, save_case
from schemas.records import SegmentationInput

log = structlog.get_logger()

#: Training draws from [its seed, step]; these share none of its streams.
TEST_SEED = 81_000_001
TUNING_SEED = 88_000_001
VOLUMES = 16
TUNING_VOLUMES = 6

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Measured:
    """A volume: Dice of network and baseline, lesions there, lesions found (touched), blobs that touch none."""

    dice: float
    baseline: float
    lesions: int
    found: int
    false_blobs: int
    seconds: float


def size_case(family: Family, size: int, seed: int, index: int) -> Case:
    """Make volume number `index` of a size class: one to four lesions, all of that class."""
    rng = np.random.default_rng([seed, size, index])
    return make_case(family, draw_volumes(size, int(rng.integers(1, 5)), rng), rng)


def measure(processor: Segmentation, case: Case, rule: Rule, folder: Path) -> Measured:
    """Segment one volume through its file, and threshold it too."""
    path, truth_path = folder / "volume.nii.gz", folder / "truth.nii.gz"
    save_case(case, path, truth_path)
    started = time.perf_counter()
    output = run_one(processor, SegmentationInput(claim_of(path)), folder)
    seconds = time.perf_counter() - started
    mask, truth = load_mask(path_of(output.mask)) > 0, load_mask(truth_path) > 0
    lesions, found, false_blobs = touching(mask, truth)
    return Measured(
        dice_of(mask, truth), dice_of(baseline_mask(path, rule), truth), lesions, found, false_blobs, seconds
    )


def tuned_rule(size: int, folder: Path) -> Rule:
    """The baseline's best rule for a size class, on training volumes."""
    cases = []
    for index in range(TUNING_VOLUMES):
        path, truth_path = folder / "volume.nii.gz", folder / "truth.nii.gz"
        save_case(size_case(TRAINING, size, TUNING_SEED, index), path, truth_path)
        view = to_model(read_volume(path))
        truth = view.there(load_mask(truth_path).astype(np.float32)) > 0.5
        cases.append((*image_and_brain(view), truth))
    rule, dice = tune(cases)
    log.info("baseline tuned", size=SIZES[size], rule=rule, training_dice=round(dice, 3))
    return rule


def touching(mask: BoolArray, truth: BoolArray) -> tuple[int, int, int]:
    """Lesions there, lesions touched by the mask, blobs of the mask that touch no lesion."""
    corners = np.ones((3, 3, 3))
    lesions, lesion_count = ndimage.label(truth, corners)
    blobs, blob_count = ndimage.label(mask, corners)
    found = np.unique(lesions[mask & truth]).size
    true_blobs = np.unique(blobs[mask & truth]).size
    return lesion_count, found, blob_count - true_blobs


def image_and_brain(view: ModelView) -> tuple[FloatArray, BoolArray]:
    """The z-scored box and where the brain is in it; outside an extracted brain all voxels share one value."""
    image: FloatArray = view.box[0, 0].numpy()
    return image, image != image[-1, -1, -1]


def baseline_mask(path: Path, rule: Rule) -> BoolArray:
    view = to_model(read_volume(path))
    mask = rule.apply(*image_and_brain(view))
    native: BoolArray = view.back(torch.from_numpy(mask.astype(np.float32))) > 0.5
    return native


def evaluate(volumes: int) -> list[SizeClass]:
    """All size classes, measured."""
    processor = loaded(Segmentation)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, label in enumerate(SIZES):
            rule = tuned_rule(size, folder)
            cases = (size_case(HELD_OUT, size, TEST_SEED, index) for index in range(volumes))
            rows.append(summarised(size, rule, [measure(processor, case, rule, folder) for case in cases]))
            log.info("measured", size=label, dice=round(rows[-1].dice, 4), baseline=round(rows[-1].baseline, 4))
    return rows


def summarised(size: int, rule: Rule, measured: list[Measured]) -> SizeClass:
    dices = [one.dice for one in measured]
    return SizeClass(
        size=size,
        volumes=len(measured),
        dice=float(np.mean(dices)),
        spread=float(np.std(dices)),
        median=float(np.median(dices)),
        worst=min(dices),
        lesions=sum(one.lesions for one in measured),
        found=sum(one.found for one in measured),
        false_blobs=sum(one.false_blobs for one in measured) / len(measured),
        baseline=float(np.mean([one.baseline for one in measured])),
        rule=rule,
        seconds=float(np.median([one.seconds for one in measured])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=VOLUMES, help="held-out volumes for each size class")
    options = parser.parse_args()
    torch.set_num_threads(1)
    CARD.write_text(card(evaluate(options.volumes)))


if __name__ == "__main__":
    main()
