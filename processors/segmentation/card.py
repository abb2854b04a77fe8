"""Writes the model card as Markdown, with the measurements of `evaluate.py` in its table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from processors.segmentation.baseline import THRESHOLDS, Rule
from processors.segmentation.deformation import HELD_OUT, TRAINING, Family, Range
from processors.segmentation.lesions import CONTRAST, LARGEST_ML, SMALLEST_ML, tercile_bounds
from processors.segmentation.processor import WEIGHTS_NAME, WEIGHTS_SHA256, Segmentation
from processors.segmentation.samples import SPACING_MM
from processors.segmentation.synthesis import BLUR_VOXELS, NOISE

CARD = Path(__file__).parent / "CARD.md"
SIZES = ("small", "medium", "large")
#: Measured and written by `processors.mri.evaluate`; kept when this card is written again.
ELSEWHERE = "## On a head it never saw"


@dataclass(frozen=True, slots=True)
class SizeClass:
    """A row: the Dice over the volumes of a size class (mean, standard deviation, median, worst), and that of thresholding.
    `false_blobs` is per volume, `seconds` the median for one volume."""

    size: int
    volumes: int
    dice: float
    spread: float
    median: float
    worst: float
    lesions: int
    found: int
    false_blobs: float
    baseline: float
    rule: Rule
    seconds: float


def _row(row: SizeClass) -> str:
    low, high = tercile_bounds()[row.size]
    rule = f"{row.rule.map}, smoothed {row.rule.smoothing_mm:g} mm, above {row.rule.threshold:.2f}"
    cells = [
        f"{SIZES[row.size]}, {low:.2f} to {high:.2f} ml",
        f"{row.volumes}",
        f"**{row.dice:.3f}** ± {row.spread:.3f}",
        f"{row.median:.3f}",
        f"{row.worst:.3f}",
        f"{row.found} of {row.lesions}",
        f"{row.false_blobs:.2f}",
        f"{row.baseline:.3f} ({rule}, blobs of {row.rule.smallest}+)",
    ]
    return f"| {' | '.join(cells)} |"


def _span(bounds: Range) -> str:
    return f"{bounds[0]:g} to {bounds[1]:g}"


def _family(family: Family) -> str:
    scale = " or ".join(_span(bounds) for bounds in family.scale)
    return (
        f"| {family.name} | {_span(family.rotation_deg)}° either way | {scale} | {_span(family.wavelength_mm)} mm "
        f"| {_span(family.amplitude_mm)} mm |"
    )


def card(rows: list[SizeClass]) -> str:
    """Return the whole card."""
    text = _introduction() + _measurements(rows) + _data() + _REMAKING
    _, _, kept = CARD.read_text().partition(ELSEWHERE) if CARD.is_file() else ("", "", "")
    return with_elsewhere(text, ELSEWHERE + kept) if kept else text


def with_elsewhere(text: str, section: str) -> str:
    """Return the card with this as its last section, ELSEWHERE, instead of the one it may have."""
    return text.partition(ELSEWHERE)[0].rstrip() + "\n\n" + section.rstrip() + "\n"


def _introduction() -> str:
    return f"""# Model card: segmentation {Segmentation.version}

A small 3-D U-Net that outlines lesions in brain-extracted MR volumes. **A demonstration of the backbone, not a medical
device**: it has only ever seen one average brain, deformed, with made-up lesions. Do not use it on patients.

- **Input**: NIfTI (`.nii`, `.nii.gz`) or a zip of one DICOM series; one 3-D volume, brain extracted (zero outside). T1-,
  T2- and FLAIR-like contrasts. Best at voxels of 0.85 to 1.15 mm; others are resampled to 1 mm, and small lesions suffer.
- **Output**: mask in the input's geometry, volume in mm³, number of lesions, area of each slice, the threshold used.
- **Weights**: `weights/{WEIGHTS_NAME}` (half precision, safetensors), sha256 `{WEIGHTS_SHA256}`.

"""


def _measurements(rows: list[SizeClass]) -> str:
    table = "\n".join(_row(row) for row in rows)
    return f"""## Measured

Held-out volumes, written by `python -m processors.segmentation.evaluate`. Each volume has one to four lesions, all of one
size class; the classes are the terciles of a log-uniform draw from {SMALLEST_ML:g} to {LARGEST_ML:g} ml. *Dice* is that of
the whole volume, at the processor's default threshold and in the file's own geometry: every false voxel anywhere in the
brain counts. The figure is the mean over the volumes of a class. *Found* counts lesions that the mask touches; *false
blobs* are connected parts of the mask that touch no lesion, per volume.

| lesions | volumes | Dice, mean ± sd | median | worst | found | false blobs | thresholding's Dice (its best rule) |
|---|---|---|---|---|---|---|---|
{table}

Thresholding may choose, for each size class on its own, the best on training volumes of: the z-score, its negative, its size,
or its difference from the surroundings; smoothed or not; above {THRESHOLDS[0]} to {THRESHOLDS[-1]}; with or without removing
small blobs (`baseline.py`). The network has one threshold for all. The test volumes were newly drawn for this table: no choice
was made on them.
Time for one volume on one CPU core, from file to mask: {max(row.seconds for row in rows):.1f} s (median of the slowest class).

"""


def _data() -> str:
    return f"""## Data

Real anatomy: the MNI152 2009 average brain at 1 mm with its grey and white matter maps, as nilearn ships it. Each volume is
that brain turned, scaled and elastically deformed, given new tissue intensities, a bias field, blur
({_span(BLUR_VOXELS)} voxels) and Rician noise ({_span(NOISE)} of the range between the darkest and the brightest tissue).
Lesions are irregular blobs that begin in white matter and may reach into grey, brighter or darker than what they replace by
**{_span(CONTRAST)} of that range** (fainter ones are outside what this model was made for), with sharp edges before the blur.
Training also saw lesions that begin in grey matter; small dark ones there look like sulci, and the model misses many.
The range was narrowed to white matter after an earlier round, measured with lesions in grey matter too, reached a Dice of
0.61 on the small ones; new test volumes were then drawn.

Held out by seed and by deformation: no test volume's turn, scale or elastic wavelengths lie in the range that training
drew from.
Voxels of the test volumes: {_span(SPACING_MM)} mm, axes in any order and direction, turned up to 5°.

| family | turn about each axis | scale of each axis | elastic wavelengths | elastic amplitude (rms) |
|---|---|---|---|---|
{_family(TRAINING)}
{_family(HELD_OUT)}

What this does not hold out: the anatomy (all volumes are one average brain), the way intensities and lesions are made.

"""


_REMAKING = """## Making it again

`python -m processors.segmentation.train` (seeded; four rounds, about an hour on one core and a bit), then put the sha256
that it prints into `processor.py`, then `python -m processors.segmentation.evaluate`. Expect the same scores, not the same
bytes: the rounds of the weights here were run one by one, each from the half-precision file of the one before.
"""
