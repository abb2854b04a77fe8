"""The sentences of a result, for the people who read it."""

from __future__ import annotations

from processors.segmentation.grid import brain_statistics
from processors.segmentation.volume import Volume

#: Tissue above this is a head with its skull. Measured, in ml: extracted brains 1,630 to 1,890 (Colin27, MNI152), deformed ones
#: up to 2,470; whole heads 4,150 (Colin27) and 4,380 (pycortex S1).
MOST_BRAIN_ML = 3000.0


def tissue_ml(volume: Volume) -> float:
    """Return how much of the volume stands out from the background, in millilitres."""
    floor = brain_statistics(volume.data).floor
    return int((volume.data > floor).sum()) * volume.voxel_mm3 / 1000


def report(found_mm3: float, count: int, tissue: float) -> str:
    """Return what was found, with a warning if the series seems to show more than a brain. `tissue` in ml."""
    if count == 0:
        said = "No lesion was found."
    else:
        said = f"{count} lesion{'s' if count > 1 else ''} of {found_mm3 / 1000:.2f} ml together."
    if tissue <= MOST_BRAIN_ML:
        return said
    return (
        f"{said} Warning: the series shows {tissue:.0f} ml of tissue, more than a brain has, so it seems to include the skull. "
        "The model knows brain-extracted volumes only: expect wrong findings, and extract the brain first."
    )
