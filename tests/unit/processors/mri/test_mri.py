"""The processor `mri` from file to four files, with a network of the tests in place of a model."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

import processors.mri
from processors.local import LocalJobContext, LocalLoadContext, claim_of, job_for, path_of, run_one
from processors.mri.contract import MriInput, MriOutput
from processors.mri.loading import load_model
from processors.mri.network import SPEC as SHIPPED
from processors.mri.network import build
from processors.mri.processor import Mri, PreparedBrain
from processors.mri.segment import box_probability, segment
from processors.protocol import Processor
from processors.segmentation.reading import read_volume
from processors.weights import sha256_of
from schemas.errors import InvalidInput, JobCancelled, ModelNotFound, ProcessorBug, StartupError
from schemas.records import Claim
from streams.testing import Flow
from tests.harness.volumes import nifti, write_nifti
from tests.unit.processors.mri.detector import FLIPPED, LESION, OBLIQUE, SPEC, brain, detector, state, write_brain

SCHEMA = json.loads((Path(processors.mri.__path__[0]) / "report.schema.json").read_text())
VOXELS = int(np.prod([part.stop - part.start for part in LESION]))


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return detector(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def mri(options: dict[str, str]) -> Mri:
    return load(options)


def load(options: dict[str, str]) -> Mri:
    made = Mri()
    made.load(LocalLoadContext(Mri, options=options))
    return made


@pytest.fixture(scope="module")
def flow(options: dict[str, str]) -> Iterator[Flow]:
    with Flow("mri", options=options) as opened:
        yield opened


def result(flow: Flow, path: Path, **more: Any) -> dict[str, Any]:
    job = flow.submit("mri", MriInput(flow.upload(path), **more))
    flow.settle()
    seen = flow.job(job)
    assert (seen.state, seen.error) == ("COMPLETED", None)
    output: dict[str, Any] = seen.output or {}
    return output


def image_of(claim: Claim | dict[str, Any]) -> Any:
    """Read a saved NIfTI file with nibabel, by its own header alone."""
    found = claim if isinstance(claim, Claim) else Claim(**claim)
    return nifti.Nifti1Image.from_bytes(gzip.decompress(path_of(found).read_bytes()))


def picture_of(claim: dict[str, Any]) -> Image.Image:
    shown = Image.open(io.BytesIO(path_of(Claim(**claim)).read_bytes()))
    shown.load()
    return shown


def test_mri_is_a_processor_that_knows_its_weights(mri: Mri, options: dict[str, str]) -> None:
    assert isinstance(mri, Processor)
    assert mri.model_sha256 == sha256_of(Path(options["MODEL_PATH"]))


@pytest.mark.parametrize("affine", [np.eye(4), FLIPPED, OBLIQUE], ids=["straight", "flipped", "oblique"])
def test_a_job_returns_four_files_in_the_geometry_of_its_input(
    flow: Flow, options: dict[str, str], affine: Any, tmp_path: Path
) -> None:
    path = write_brain(tmp_path / "volume.nii", affine)
    output = result(flow, path)
    mask, probability, stored = (
        image_of(output["mask"]),
        image_of(output["probability"]),
        nifti.Nifti1Image.from_filename(path),
    )
    for image in (mask, probability):
        np.testing.assert_array_equal(image.affine, stored.affine)
        assert image.header["sform_code"] == stored.header["sform_code"]
        assert image.header["qform_code"] == stored.header["qform_code"]
        assert image.get_data_dtype() == np.uint8
    found = np.asarray(mask.dataobj) > 0
    assert found.shape == stored.shape
    assert found[LESION].all()
    assert found.sum() == VOXELS  # what is not turned back exactly is not in its place
    values = np.asarray(probability.dataobj, dtype=np.float64)
    assert values.max() == pytest.approx(1.0)
    np.testing.assert_array_equal(values > 0.5, found)
    check_report(output, options, affine)


def check_report(output: dict[str, Any], options: dict[str, str], affine: Any) -> None:
    report = json.loads(path_of(Claim(**output["report"])).read_bytes())
    jsonschema.validate(report, SCHEMA)
    (lesion,) = report["lesions"]
    centre = affine @ [*((part.start + part.stop - 1) / 2 for part in LESION), 1.0]
    np.testing.assert_allclose(lesion["centre_mm"], centre[:3], atol=0.02)
    assert lesion["voxels"] == VOXELS
    assert report["model"]["sha256"] == sha256_of(Path(options["MODEL_PATH"]))
    assert {name: output[name]["sha256"] for name in ("mask", "probability", "overlay")} == report["files"]
    for name in ("lesion_count", "lesion_volume_mm3", "slice_areas_mm2", "threshold"):
        assert report[name] == output[name]
    assert output["lesion_count"] == 1
    assert output["lesion_volume_mm3"] == pytest.approx(VOXELS * abs(np.linalg.det(affine[:3, :3])), rel=1e-4)
    assert report["warnings"] == ["The weights are the user's own: their accuracy was not measured here."]


def test_nothing_found_is_a_result_with_another_picture(flow: Flow, tmp_path: Path) -> None:
    with_lesion = result(flow, write_brain(tmp_path / "lesion.nii"))
    without = result(flow, write_brain(tmp_path / "healthy.nii", lesion=False))
    assert (without["lesion_volume_mm3"], without["lesion_count"], set(without["slice_areas_mm2"])) == (0.0, 0, {0.0})
    assert not np.asarray(image_of(without["mask"]).dataobj).any()
    pictures = [np.asarray(picture_of(each["overlay"]).convert("RGB")).astype(int) for each in (with_lesion, without)]
    red = [int(((shown[..., 0] - shown[..., 1]) > 100).sum()) for shown in pictures]
    assert red[0] > 50
    assert red[1] == 0
    jsonschema.validate(json.loads(path_of(Claim(**without["report"])).read_bytes()), SCHEMA)


def test_the_same_job_saves_the_same_bytes(mri: Mri, tmp_path: Path) -> None:
    job = MriInput(claim_of(write_brain(tmp_path / "volume.nii", OBLIQUE)))
    assert run_one(mri, job, tmp_path) == run_one(mri, job, tmp_path)


EMPTY = np.zeros((20, 20, 20), dtype=np.int16)
NOT_A_NUMBER = np.full((20, 20, 20), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (NOT_A_NUMBER, "8,000 voxels that are NaN or infinite"),
        (brain()[:, :, 0], "2 axes; three are needed"),
        (EMPTY, "constant"),
        (np.stack([brain(), brain()], -1), "4 axes; three are needed"),
        (np.pad(brain()[16:24, 16:24, 16:24], 8), "no brain in there"),
    ],
    ids=["NaN", "2-D", "empty", "4-D", "no brain"],
)
def test_a_volume_that_is_no_brain_fails_with_its_reason(flow: Flow, data: Any, message: str, tmp_path: Path) -> None:
    job = flow.submit("mri", MriInput(flow.upload(write_nifti(tmp_path / "volume.nii", data))))
    flow.settle()
    seen = flow.job(job)
    assert seen.state == "FAILED"
    assert seen.error is not None
    assert (seen.error.code, message in seen.error.message) == ("INVALID_INPUT", True)


def test_the_threshold_is_the_jobs_else_the_option_else_a_half(options: dict[str, str], tmp_path: Path) -> None:
    volume = claim_of(write_brain(tmp_path / "volume.nii"))

    def threshold(options: dict[str, str], wanted: float | None = None) -> float:
        output = run_one(load(options), MriInput(volume, threshold=wanted), tmp_path)
        assert isinstance(output, MriOutput)
        return output.threshold

    assert threshold(options) == 0.5
    assert threshold(options | {"THRESHOLD": "0.7"}) == 0.7
    assert threshold(options | {"THRESHOLD": "0.7"}, 0.2) == 0.2


@pytest.mark.parametrize("value", ["high", "0", "1", "nan", "-0.5"])
def test_an_option_that_is_no_probability_stops_the_worker(options: dict[str, str], value: str) -> None:
    with pytest.raises(StartupError, match="THRESHOLD"):
        load(options | {"THRESHOLD": value})


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(mri: Mri, threshold: float, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="threshold"):
        run_one(mri, MriInput(claim_of(write_brain(tmp_path / "volume.nii")), threshold=threshold), tmp_path)


def test_a_head_with_a_neck_gets_a_warning(flow: Flow, tmp_path: Path) -> None:
    data = brain()
    data[8:40, 8:36, :10] = 700
    output = result(flow, write_nifti(tmp_path / "volume.nii", data))
    warnings = json.loads(path_of(Claim(**output["report"])).read_bytes())["warnings"]
    assert "does not look like a whole extracted brain" in warnings[0]


def test_windows_give_what_the_whole_volume_gives(tmp_path: Path) -> None:
    """The network here sees three voxels to each side. In the middle, each window's edge lies in the middle of another one."""
    spec = {**SPEC, "channels": [4, 4], "norm": "batch"}
    whole = load_model(LocalLoadContext(Mri, options=random_weights(tmp_path, spec)))
    parts = load_model(LocalLoadContext(Mri, options=random_weights(tmp_path, spec | {"window": 32})))
    box = 0.3 * torch.randn(1, 1, 48, 48, 48)
    with torch.inference_mode():
        expected = whole.network(box).sigmoid()[0, 0].numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(box_probability(whole, box), expected, atol=1e-6)
    within = (slice(12, -12),) * 3
    np.testing.assert_allclose(box_probability(parts, box)[within], expected[within], atol=5e-3)


def random_weights(folder: Path, spec: dict[str, Any]) -> dict[str, str]:
    path = folder / "random.pth"
    if not path.exists():
        torch.manual_seed(7)
        torch.save(build({**SHIPPED, **spec}).state_dict(), path)
    return {"MODEL_PATH": str(path), "MODEL_SPEC": json.dumps(spec)}


def test_segment_gives_the_probability_in_the_volumes_own_geometry(options: dict[str, str], tmp_path: Path) -> None:
    model = load_model(LocalLoadContext(Mri, options=options))
    probability = segment(model, read_volume(write_brain(tmp_path / "volume.nii", OBLIQUE)))
    assert probability.shape == brain().shape
    assert (probability > 0.5).sum() == VOXELS
    assert (probability[LESION] > 0.5).all()


def test_a_pickled_network_is_refused_with_its_class_and_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"the class monai.networks.nets.unet.UNet, not weights alone") as caught:
        load(detector(tmp_path, build({**SHIPPED, **SPEC})))
    assert "torch.save(model.state_dict()" in (caught.value.next_step or "")


def test_another_architecture_is_refused_with_its_layers_and_shapes(tmp_path: Path) -> None:
    wide = build({**SHIPPED, "channels": (32, 64, 128), "strides": (2, 2)}).state_dict()
    options = detector(tmp_path, {"state_dict": wide})
    (tmp_path / "best_model.json").unlink()
    with pytest.raises(ModelNotFound) as caught:
        load(options)
    message = caught.value.message
    assert f"UNet(channels {SHIPPED['channels']}, strides {SHIPPED['strides']}, num_res_units 0)" in message
    for text in ("missing layers: model.1.submodule.", "unexpected layers: model.1.submodule.", " more"):
        assert text in message
    assert "model.0.conv.weight is 32x1x3x3x3 in the file, 8x1x3x3x3 in the network" in message
    assert len(message) < 5000


@pytest.mark.parametrize("spec", [{"act": "no such"}, {"kernel_size": 2}])
def test_what_monai_refuses_is_a_clear_error(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="MONAI's UNet does not take") as caught:
        load(detector(tmp_path, **spec))
    assert caught.value.next_step


def test_a_network_that_answers_nan_fails_the_job(tmp_path: Path) -> None:
    weights = state(outputs=2)
    weights["model.2.conv.weight"] *= 1e37
    made = load(detector(tmp_path, weights, out_channels=2))
    with pytest.raises(ProcessorBug, match="NaN"):
        run_one(made, MriInput(claim_of(write_brain(tmp_path / "volume.nii"))), tmp_path)


def test_a_cancelled_job_stops_between_two_windows(tmp_path: Path) -> None:
    made = load(detector(tmp_path, window=16))
    context = Stopping(tmp_path)
    prepared = made.prepare(job_for(made, MriInput(claim_of(write_brain(tmp_path / "volume.nii")))), context)
    assert isinstance(prepared, PreparedBrain)
    (stopped,) = made.run([prepared])
    assert isinstance(stopped, JobCancelled)
    assert context.asked == 3


class Stopping(LocalJobContext):
    """Cancels its job once it was asked three times."""

    asked = 0

    def cancelled(self) -> bool:
        self.asked += 1
        return self.asked == 3
