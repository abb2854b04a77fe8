"""The viewer's slices are in patient space, whatever the order and direction of the file's voxels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from ai.slices import largest_lesion
from tests.kit import AFFINE, SHAPE, BackendTestCase, completed, lesions, nifti


class SlicesTest(BackendTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.row = self.volume_inference()
        self.address = f"/inferences/{self.row.ai_req_id}/slices/"

    def complete(self, mask: bytes) -> None:
        assert self.call_back(completed(self.row.ai_req_id, {"mask.nii.gz": mask})).status_code == 204

    def picture(self, view: str, layer: str, index: int) -> Image.Image:
        answer = self.client.get(f"{self.address}{view}/{layer}/{index}.png")
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
        assert "immutable" in answer["Cache-Control"]
        return Image.open(BytesIO(answer.content))

    def test_sizes_are_those_of_patient_space(self) -> None:
        self.complete(nifti(lesions()))
        views = self.client.get(self.address).json()["views"]
        # The file's axes are superior (1 mm), right (2 mm) and anterior (3 mm).
        assert {
            name: (each["slices"], each["width_mm"], each["height_mm"], each["step_mm"]) for name, each in views.items()
        } == {
            "axial": (SHAPE[0], SHAPE[1] * 2, SHAPE[2] * 3, 1),
            "coronal": (SHAPE[2], SHAPE[1] * 2, SHAPE[0], 3),
            "sagittal": (SHAPE[1], SHAPE[2] * 3, SHAPE[0], 2),
        }
        assert views["axial"]["letters"] == "RLAP"

    def test_the_patients_right_is_on_the_left(self) -> None:
        self.complete(nifti(lesions()))
        grey = np.asarray(self.picture("axial", "volume", 5))
        assert grey.shape == (SHAPE[2], SHAPE[1])
        assert grey[0, 0] > 200 > 50 > grey[0, -1]

    def test_the_mask_lies_where_its_voxels_are(self) -> None:
        mask = lesions()
        self.complete(nifti(mask))
        views = self.client.get(self.address).json()["views"]
        assert views["axial"]["area_mm2"][views["axial"]["largest"]] == 3 * 3 * 2 * 3
        for voxel in ((2, 2, 2), (12, 16, 8), (0, 0, 0)):
            superior, right, anterior = (size - 1 - place for size, place in zip(SHAPE, voxel, strict=True))
            picture = self.picture("axial", "mask", superior).convert("RGBA")
            across, down = SHAPE[1] - 1 - right, SHAPE[2] - 1 - anterior
            assert picture.getpixel((across, down))[3] == 255 * mask[voxel]
        assert sum(views["axial"]["area_mm2"]) == mask.sum() * 2 * 3

    def test_the_largest_lesion_is_the_one_with_most_voxels(self) -> None:
        assert largest_lesion(lesions()) == (10, 15, 7)
        assert largest_lesion(np.zeros(SHAPE, bool)) is None

    def test_a_mask_of_another_geometry_is_not_shown(self) -> None:
        moved = AFFINE.copy()
        moved[0, 3] += 5
        self.complete(nifti(lesions(), moved))
        answer = self.client.get(self.address)
        assert answer.status_code == 422
        assert "another geometry" in answer.json()["error"]
        assert self.client.get(f"{self.address}axial/volume/5.png").status_code == 404

    def test_a_file_that_is_no_volume_is_named_so(self) -> None:
        self.row.input.save("series.zip", BytesIO(b"PK"))
        answer = self.client.get(self.address)
        assert (answer.status_code, "no NIfTI volume" in answer.json()["error"]) == (422, True)

    def test_what_is_no_slice_is_not_found(self) -> None:
        for path in ("axial/volume/999.png", "diagonal/volume/1.png", "axial/bone/1.png"):
            assert self.client.get(self.address + path).status_code == 404
