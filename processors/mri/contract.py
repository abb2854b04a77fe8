"""Input and output of `mri`. Programs that submit jobs import this module, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.records import Claim


@dataclass(frozen=True, slots=True)
class MriInput:
    """`volume`: a claim check on a brain-extracted NIfTI file (.nii, .nii.gz) or a zip of one DICOM series. `kind`: auto, nifti
    or dicom. `threshold`: lesion probability above which a voxel counts, above 0 and below 1; None: the worker's own, which is
    its option THRESHOLD, else 0.5."""

    volume: Claim
    kind: str = "auto"
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class MriOutput:
    """Four files and the figures that a backend shows. Without a lesion the mask is empty and the figures are 0.

    Attributes:
        mask: NIfTI, uint8, 1 = lesion, in the input's geometry.
        probability: NIfTI, uint8 with scl_slope 1/255 (which readers apply), in the input's geometry.
        overlay: PNG, three orthogonal slices through the largest lesion with the mask's outline.
        report: JSON by processors/mri/report.schema.json.
        lesion_volume_mm3: Volume of all lesions.
        lesion_count: Number of connected lesions.
        slice_areas_mm2: Lesion area of each slice along the third axis of the stored volume.
        threshold: The threshold that was used.
        voxel_mm3: Volume of a voxel.
        shape: Voxels along each axis of the stored volume.
    """

    mask: Claim
    probability: Claim
    overlay: Claim
    report: Claim
    lesion_volume_mm3: float
    lesion_count: int
    slice_areas_mm2: list[float]
    threshold: float
    voxel_mm3: float
    shape: list[int]


MRI: ProcessorContract[MriInput, MriOutput] = ProcessorContract(
    "mri", MriInput, MriOutput, Path(__file__).parent / "avro"
)
