"""Writes a mask as a DICOM Segmentation that refers to the slices it was made from."""

from __future__ import annotations

import logging
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from schemas.errors import InvalidInput

#: It logs patients' names that it thinks unusual.
logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)

MAKER, PRODUCT = "sluice", "mri-lab"
SERIES_NUMBER = 900
#: Names the UIDs of this processor's objects apart from all other UUIDs of version 5.
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:sluice:mri-lab")
#: Elements that DICOM wants present, and that scanners leave out. Empty is allowed.
_MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"),
    *("StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator"),
)


@dataclass(frozen=True, slots=True)
class SegUids:
    """UIDs of the DICOM SEG of a job and run: always the same, so that a job that runs twice stores one object."""

    instance: str
    series: str

    @classmethod
    def of(cls, job_id: str, run: int) -> SegUids:
        return cls(_uid(f"{job_id}/{run}/instance"), _uid(f"{job_id}/{run}/series"))


def _uid(name: str) -> str:
    """A UID made of a UUID, as DICOM PS3.5 B.2 has it."""
    return f"2.25.{uuid.uuid5(_SPACE, name).int}"


def write_seg(
    mask: NDArray[np.uint8], headers: Sequence[FileDataset], uids: SegUids, path: Path, *, model: str, model_sha256: str
) -> None:
    """Write `mask` (column, row, slice; 1 = lesion) as a binary DICOM SEG in the slices' geometry.

    `headers`: of the slices along the mask's third axis. `model`: name and version of what made the mask; with the sha256 of
    its weights it stands in the object. Without a lesion all frames are empty: that nothing was found is a result.
    Raises InvalidInput if a header lacks what the object must repeat.
    """
    _complete(headers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their texts repeat values of the file
            made = Segmentation(
                source_images=headers,
                pixel_array=np.ascontiguousarray(mask.transpose(2, 1, 0)),
                segmentation_type=SegmentationTypeValues.BINARY,
                segment_descriptions=[_lesion(model)],
                series_instance_uid=UID(uids.series),
                series_number=SERIES_NUMBER,
                sop_instance_uid=UID(uids.instance),
                instance_number=1,
                manufacturer=MAKER,
                manufacturer_model_name=PRODUCT,
                software_versions=model,
                device_serial_number=model_sha256[:16] or "0",
                content_label="LESION",
                content_description="Lesions found by a network",
                omit_empty_frames=bool(mask.any()),
                series_description="Lesion segmentation",
            )
            made.save_as(path, enforce_file_format=True)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"No DICOM SEG can refer to the series: its headers break the standard ({type(error).__name__})."
        ) from error


def _complete(headers: Sequence[FileDataset]) -> None:
    """Add to the copies of the headers what DICOM wants present and scanners leave out; the slices' distance is measured."""
    first, last = (np.array(headers[end].ImagePositionPatient, dtype=np.float64) for end in (0, -1))
    spacing = DSfloat(float(np.linalg.norm(last - first)) / (len(headers) - 1), auto_format=True)
    for header in headers:
        for name in _MAY_BE_EMPTY:
            if name not in header:
                setattr(header, name, "")
        header.SpacingBetweenSlices = spacing
        if header.get("SliceThickness") is None:
            header.SliceThickness = spacing


def _lesion(model: str) -> SegmentDescription:
    algorithm = AlgorithmIdentificationSequence(
        name=PRODUCT, version=model, family=codes.cid7162.ArtificialIntelligence
    )
    return SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
