"""The processor from file to mask, on held-out volumes with known lesions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from processors.local import LocalJobContext, LocalLoadContext, claim_of, job_for, loaded, path_of, run_one
from processors.protocol import Processor
from processors.segmentation import Segmentation
from processors.segmentation.deformation import HELD_OUT
from processors.segmentation.processor import Segmented
from processors.segmentation.samples import Case, dice, load_mask, make_case, make_samples, render, save_case
from processors.weights import sha256_of, weights_beside
from schemas.errors import InvalidInput, ModelNotFound
from schemas.records import SegmentationInput, SegmentationOutput
from tests.harness.volumes import (
    ball,
    dicom_slices,
    nifti,
    write_dicom_zip,
    write_nifti,
)

# The card's means are higher; one volume may fall below them.
DICE = 0.75
SIZES_ML = {"small": [0.1, 0.2], "large": [3.0, 0.8]}


@pytest.fixture(scope="module")
def segmentation() -> Segmentation:
    made = loaded(Segmentation)
    assert isinstance(made, Segmentation)
    return made


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {
        name: make_case(HELD_OUT, sizes, np.random.default_rng([901, len(name)])) for name, sizes in SIZES_ML.items()
    }


def segment(processor: Segmentation, path: Path, threshold: float = 0.5) -> SegmentationOutput:
    output = run_one(processor, SegmentationInput(claim_of(path), threshold=threshold), path.parent)
    assert isinstance(output, SegmentationOutput)
    return output


def test_segmentation_is_a_processor_that_knows_its_weights(segmentation: Segmentation) -> None:
    assert isinstance(segmentation, Processor)
    (file,) = weights_beside(Segmentation).glob("*.safetensors")
    assert segmentation.model_sha256 == sha256_of(file)
    assert file.stat().st_size < 5_000_000


@pytest.mark.parametrize("size", SIZES_ML)
def test_lesions_of_a_held_out_volume_are_outlined(
    size: str, segmentation: Segmentation, cases: dict[str, Case], tmp_path: Path
) -> None:
    case, path, truth = cases[size], tmp_path / "volume.nii.gz", tmp_path / "truth.nii.gz"
    save_case(case, path, truth)
    output = segment(segmentation, path)
    mask = nifti.Nifti1Image.from_filename(shutil.copy(path_of(output.mask), tmp_path / "mask.nii.gz"))
    assert dice(path_of(output.mask), truth) >= DICE
    assert output.shape == list(case.phantom.image.shape) == list(mask.shape)
    np.testing.assert_allclose(mask.affine, case.affine, atol=1e-4)
    assert output.voxel_mm3 == pytest.approx(float(np.prod(np.linalg.norm(case.affine[:3, :3], axis=0))), rel=1e-4)
    assert output.lesion_volume_mm3 == pytest.approx(int(load_mask(path_of(output.mask)).sum()) * output.voxel_mm3)
    thickness = float(np.linalg.norm(case.affine[:3, 2]))
    assert sum(output.slice_areas_mm2) * thickness == pytest.approx(output.lesion_volume_mm3, rel=1e-3)
    assert output.lesion_count >= 1


def test_nifti_and_dicom_of_one_brain_give_the_same_lesions(
    segmentation: Segmentation, cases: dict[str, Case], tmp_path: Path
) -> None:
    case = cases["small"]
    save_case(case, tmp_path / "volume.nii.gz", tmp_path / "truth.nii.gz")
    voxels = np.asarray(nifti.Nifti1Image.from_filename(tmp_path / "volume.nii.gz").dataobj, dtype=np.int16)
    zipped = write_dicom_zip(tmp_path / "series", dicom_slices(voxels, case.affine.astype(np.float64)))
    one, other = segment(segmentation, tmp_path / "volume.nii.gz"), segment(segmentation, zipped)
    assert other.lesion_volume_mm3 == pytest.approx(one.lesion_volume_mm3, rel=1e-3)
    assert other.lesion_count == one.lesion_count


def test_nothing_found_is_a_result(segmentation: Segmentation, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "volume.nii", ball())
    job, context = job_for(segmentation, SegmentationInput(claim_of(path))), LocalJobContext(tmp_path)
    prepared = segmentation.prepare(job, context)
    output = segmentation.finish(job, Segmented(prepared, torch.zeros(prepared.view.box.shape[2:])), context)
    assert (output.lesion_volume_mm3, output.lesion_count, set(output.slice_areas_mm2)) == (0.0, 0, {0.0})
    assert not load_mask(path_of(output.mask)).any()
    assert context.stages == ["reading", "writing"]


def test_the_same_job_saves_the_same_bytes(segmentation: Segmentation, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "volume.nii", ball())
    assert segment(segmentation, path) == segment(segmentation, path)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(
    threshold: float, segmentation: Segmentation, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="threshold"):
        segment(segmentation, write_nifti(tmp_path / "volume.nii", ball()), threshold)


def test_a_volume_with_nan_is_refused(segmentation: Segmentation, tmp_path: Path) -> None:
    data = ball().astype(np.float32)
    data[5, 5, 5] = np.nan
    with pytest.raises(InvalidInput, match="NaN"):
        segment(segmentation, write_nifti(tmp_path / "volume.nii", data))


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    (file,) = weights_beside(Segmentation).glob("*.safetensors")
    altered = bytearray(file.read_bytes())
    altered[-1] ^= 1
    (tmp_path / file.name).write_bytes(altered)
    with pytest.raises(ModelNotFound, match="altered"):
        Segmentation().load(LocalLoadContext(Segmentation, directory=tmp_path))


def test_samples_are_the_same_for_the_same_seed_and_can_be_pictured(tmp_path: Path) -> None:
    (one,), (same,) = (make_samples(tmp_path / name, 1, seed=4) for name in ("one", "same"))
    assert one.path.read_bytes() == same.path.read_bytes()
    assert one.truth_path.read_bytes() == same.truth_path.read_bytes()
    assert one.lesion_count >= 1
    assert one.lesion_ml == same.lesion_ml > 0.0
    assert dice(one.truth_path, same.truth_path) == 1.0
    render(one.path, same.truth_path, one.truth_path, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
