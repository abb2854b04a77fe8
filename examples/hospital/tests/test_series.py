"""A series in Orthanc and its DICOM SEG, drawn in patient space."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.kit import BackendTestCase, inference_service

#: Coronal slices: rows to the patient's left, columns downwards, slices backwards, by 2, 3 and 4 mm.
ORIENTATION, SPACING, STEP = [1, 0, 0, 0, 0, -1], [3, 2], 4
ROWS, COLUMNS, SLICES = 6, 8, 5
SERIES, SEGMENTATION, UID = "series-a", "series-b", "1.2.3"


def voxels() -> Any:
    """Return random intensities (slice, row, column)."""
    return np.random.default_rng(1).integers(1, 4000, (SLICES, ROWS, COLUMNS)).astype("<i2")


def found() -> Any:
    mask = np.zeros((SLICES, ROWS, COLUMNS), bool)
    mask[1, 0, 0:3] = mask[3, 4, 7] = True
    return mask


def dicom(pixels: bytes, frames: int | None, bits: int, **more: Any) -> bytes:
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID, one.file_meta.MediaStorageSOPInstanceUID = generate_uid(), generate_uid()
    one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = bits
    one.HighBit, one.PixelRepresentation = bits - 1, 0
    if frames is not None:
        one.NumberOfFrames = frames
    for name, value in more.items():
        setattr(one, name, value)
    one.PixelData = pixels + b"\0" * (len(pixels) % 2)
    file = BytesIO()
    one.save_as(file, enforce_file_format=True)
    return file.getvalue()


def place(index: int) -> list[float]:
    return [-10, -20 + STEP * index, 30]


def segmentation(first: Any) -> bytes:
    """Return a SEG of the slices that have lesions, the last first."""
    groups, frames = [], []
    for index in (3, 1):
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = first(index)
        group.PlanePositionSequence = [position]
        groups.append(group)
        frames.append(found()[index])
    bits = np.packbits(np.array(frames).ravel(), bitorder="little").tobytes()
    return dicom(bits, 2, 1, PerFrameFunctionalGroupsSequence=groups)


class SeriesTest(BackendTestCase):
    def answers(self, series: str = SERIES, first: Any = place) -> dict[str, Any]:
        listed = {"success": True, "requests": [{"request_id": "r1", "series_id": series, "status": "completed"}]}
        files = {
            f"GET /instances/{series}{index}/file": dicom(
                plane.tobytes(),
                None,
                16,
                ImageOrientationPatient=ORIENTATION,
                PixelSpacing=SPACING,
                ImagePositionPatient=place(index),
            )
            for index, plane in enumerate(voxels())
        }
        return {
            "GET /api/mri/segmentation/requests/": listed,
            f"GET /series/{series}": {
                "Instances": [f"{series}{index}" for index in (2, 0, 4, 1, 3)],
                "MainDicomTags": {"SeriesInstanceUID": UID},
                "ParentStudy": "study",
            },
            "GET /studies/study/series": [
                {"ID": series, "MainDicomTags": {"Modality": "MR"}, "LastUpdate": "1", "Instances": ["x"]},
                {"ID": SEGMENTATION, "MainDicomTags": {"Modality": "SEG"}, "LastUpdate": "2", "Instances": ["seg"]},
                {"ID": "series-c", "MainDicomTags": {"Modality": "SEG"}, "LastUpdate": "3", "Instances": ["other"]},
            ],
            "GET /instances/seg/tags": {"0008,1115": [{"0020,000e": UID}]},
            "GET /instances/other/tags": {"0008,1115": [{"0020,000e": "9.9"}]},
            f"GET /series/{SEGMENTATION}": {"Instances": ["seg"]},
            "GET /instances/seg/file": segmentation(first),
            **files,
        }

    def test_volume_and_segmentation_lie_in_patient_space(self) -> None:
        answers = {path: (200, answer) for path, answer in self.answers().items()}
        with inference_service(answers):
            self.assertContains(self.client.get(f"/mri/series/{SERIES}/"), f'data-version="{SEGMENTATION}"')
            address = f"/mri/series/{SERIES}/slices/"
            views = self.client.get(address).json()["views"]
            assert (views["coronal"]["slices"], views["axial"]["slices"], views["sagittal"]["slices"]) == (5, 6, 8)
            assert (views["coronal"]["width_mm"], views["coronal"]["height_mm"]) == (COLUMNS * 2, ROWS * 3)
            # Coronal pictures have the slices' own rows and columns, and count from the back.
            mask = [
                self.client.get(f"{address}coronal/mask/{4 - index}.png?v={SEGMENTATION}") for index in range(SLICES)
            ]
        shown = [np.asarray(Image.open(BytesIO(each.content)).convert("RGBA"))[..., 3] > 0 for each in mask]
        assert (np.array(shown) == found()).all()

    def test_a_segmentation_of_other_slices_is_not_shown(self) -> None:
        moved = self.answers("series-m", lambda index: [-10, -20.5 + STEP * index, 30])
        with inference_service({path: (200, answer) for path, answer in moved.items()}):
            answer = self.client.get(f"/mri/series/series-m/slices/?v={SEGMENTATION}")
        assert (answer.status_code, "another geometry" in answer.json()["error"]) == (422, True)
