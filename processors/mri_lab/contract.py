"""The contract of `mri-lab`: a DICOM series in an Orthanc, and the DICOM SEG that was stored beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.states import Custody


@dataclass(frozen=True, slots=True)
class MriLabInput:
    """`series_id`: Orthanc's id of the series, or its SeriesInstanceUID. `threshold`: lesion probability above which a voxel
    counts, 0..1; None: the option THRESHOLD of the machine that runs the job, 0.5 by default."""

    series_id: str
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class MriLabOutput:
    """Each field may be None: a worker of the old polling contract reports only some of them.

    `segmentation_instance_uid`, `segmentation_series_uid`: of the DICOM SEG in Orthanc. `orthanc_id`: Orthanc's own id of that
    instance. `found`: True if at least one voxel is lesion. `lesion_volume_mm3`: all lesions together. `lesion_count`: groups
    of voxels that touch. `threshold`: the one that was used. `device`: "cpu" or "cuda:N"; the result's
    `device_note` says why a better one was not used. `report`: a sentence or two for people.
    """

    segmentation_instance_uid: str | None = None
    segmentation_series_uid: str | None = None
    orthanc_id: str | None = None
    found: bool | None = None
    lesion_volume_mm3: float | None = None
    lesion_count: int | None = None
    threshold: float | None = None
    device: str | None = None
    report: str | None = None


MRI_LAB: ProcessorContract[MriLabInput, MriLabOutput] = ProcessorContract(
    "mri-lab", MriLabInput, MriLabOutput, Path(__file__).parent / "avro", Custody.LEASE.value
)
