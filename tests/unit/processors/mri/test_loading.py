"""Weights of the user's own: which files load, and what is said about those that do not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from processors.local import LocalLoadContext
from processors.mri.loading import SegmentationModel, load_model
from processors.mri.processor import Mri
from processors.weights import sha256_of
from schemas.errors import ModelNotFound
from tests.unit.processors.mri.detector import SPEC, detector, state


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the detector's layers without MONAI, whose import takes seconds. test_mri.py loads real networks."""
    for module in ("network", "checkpoint"):
        monkeypatch.setattr(f"processors.mri.{module}.build", StandIn)


class StandIn(torch.nn.Module):
    """The layers of MONAI's UNet for the detector's specification, under the same names."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        (fine, deep), outputs = spec["channels"], spec["out_channels"]
        layers = (nn.Conv3d(1, fine, 3, padding=1), nn.Conv3d(fine, deep, 3, padding=1))
        last = nn.ConvTranspose3d(fine + deep, outputs, spec.get("up_kernel_size", 3), padding=1)
        self.model = nn.Sequential(
            wrapped(conv=layers[0]), wrapped(submodule=wrapped(conv=layers[1])), wrapped(conv=last)
        )
        self.layers = (*layers, last)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first, second, last = self.layers
        fine = first(image).relu()
        result: torch.Tensor = last(torch.cat([fine, second(fine).relu()], 1))
        return result


def wrapped(**modules: nn.Module) -> nn.Module:
    return nn.ModuleDict(modules)


def load(options: dict[str, str]) -> SegmentationModel:
    return load_model(LocalLoadContext(Mri, options=options))


def bright(model: SegmentationModel) -> bool:
    """True if the model is the detector: a bright voxel is a lesion, a dark one not."""
    box = torch.zeros(1, 1, 8, 8, 8)
    box[..., 4, 4, 4] = 5.0
    with torch.inference_mode():
        found = model.lesion(model.network(box))[0, 0] > 0.5
    return bool(found[4, 4, 4]) and int(found.sum()) == 1


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in state().items()}


CHECKPOINTS = {
    "plain": state(),
    "state_dict with a score of numpy": {"epoch": 7, "best_dice": np.float64(0.81), "state_dict": state()},
    "model_state_dict of DataParallel": {"model_state_dict": prefixed("module."), "optimizer": {"lr": 1e-3}},
    "model": {"model": state(), "args": {"lr": 0.1, "name": "run 3"}},
    "nested": {"checkpoint": 1, "model": {"state_dict": state(), "step": torch.tensor(3)}},
    "a training module's": {"state_dict": prefixed("net.") | {"criterion.weight": torch.ones(2)}, "hyper": [1, 2]},
    "compiled and parallel": prefixed("_orig_mod.module.") | {},
    "half precision": {name: value.half() for name, value in state().items()},
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_state_dict_loads_however_it_is_wrapped(name: str, tmp_path: Path) -> None:
    options = detector(tmp_path, CHECKPOINTS[name])
    model = load(options)
    assert bright(model)
    assert (model.name, model.own) == ("best_model.pth", True)
    assert model.sha256 == sha256_of(Path(options["MODEL_PATH"]))


def test_safetensors_load(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "mine.safetensors")
    assert bright(load({"MODEL_PATH": str(tmp_path / "mine.safetensors"), "MODEL_SPEC": json.dumps(SPEC)}))


def test_two_channels_are_read_by_softmax(tmp_path: Path) -> None:
    assert bright(load(detector(tmp_path, state(outputs=2), out_channels=2)))


def test_the_specification_of_a_bundle_is_read(tmp_path: Path) -> None:
    options = detector(tmp_path)
    bundle = {"network_def": {"_target_": "monai.networks.nets.UNet", "spatial_dims": 3, "in_channels": 1, **SPEC}}
    (tmp_path / "inference.json").write_text(json.dumps(bundle))
    assert bright(load(options | {"MODEL_SPEC": str(tmp_path / "inference.json")}))


def refusal(options: dict[str, str]) -> ModelNotFound:
    with pytest.raises(ModelNotFound) as caught:
        load(options)
    assert caught.value.next_step
    return caught.value


class Attack:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_no_code_in_a_file_runs(tmp_path: Path) -> None:
    error = refusal(detector(tmp_path, {"state_dict": state(), "hook": Attack(tmp_path / "ran")}))
    assert "could run code" in error.message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ["<!DOCTYPE html>", "version https://git-lfs.github.com/spec/v1"])
def test_a_text_in_the_place_of_weights_is_named_as_that(tmp_path: Path, content: str) -> None:
    options = detector(tmp_path)
    Path(options["MODEL_PATH"]).write_text(content)
    assert "is no torch file" in refusal(options).message


def test_the_first_ten_misfits_are_named_and_the_others_counted(tmp_path: Path) -> None:
    extra = {f"head.{number:02}": torch.ones(2) for number in range(13)}
    message = refusal(detector(tmp_path, state() | extra)).message
    assert "unexpected layers: head.00, head.01" in message
    assert "head.09 and 3 more" in message
    assert "head.10" not in message


def test_layers_of_another_shape_are_named_with_both(tmp_path: Path) -> None:
    message = refusal(detector(tmp_path, channels=[2, 1])).message
    assert "model.0.conv.weight is 1x1x3x3x3 in the file, 2x1x3x3x3 in the network" in message


def test_a_missing_and_an_unexpected_layer_are_named(tmp_path: Path) -> None:
    changed = {"head.bias" if name == "model.2.conv.bias" else name: value for name, value in state().items()}
    message = refusal(detector(tmp_path, changed)).message
    assert "missing layers: model.2.conv.bias" in message
    assert "unexpected layers: head.bias" in message


def test_weights_that_are_nan_are_refused_by_name(tmp_path: Path) -> None:
    broken = state()
    broken["model.2.conv.bias"][0] = float("nan")
    assert "NaN or infinite: model.2.conv.bias" in refusal(detector(tmp_path, broken)).message


def test_another_file_than_its_sha256_says_is_refused(tmp_path: Path) -> None:
    options = detector(tmp_path)
    right = sha256_of(Path(options["MODEL_PATH"]))
    assert bright(load(options | {"MODEL_SHA256": right.upper()}))
    assert f"found {right}" in refusal(options | {"MODEL_SHA256": "0" * 64}).message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x02garbage", b"hello"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    options = detector(tmp_path)
    Path(options["MODEL_PATH"]).write_bytes(content)
    assert "best_model.pth" in refusal(options).message


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ([1, 2], "holds a list"),
        ({"epoch": 3}, "has no state dict under a known name"),
        ({"state_dict": {}}, "has no state dict"),
    ],
)
def test_a_file_without_weights_is_refused(checkpoint: Any, message: str, tmp_path: Path) -> None:
    assert message in refusal(detector(tmp_path, checkpoint)).message


def test_a_missing_file_is_named_with_its_whole_path(tmp_path: Path) -> None:
    assert str(tmp_path / "absent.pth") in refusal({"MODEL_PATH": str(tmp_path / "absent.pth")}).message


def test_a_hash_without_a_path_is_refused() -> None:
    assert "MODEL_PATH is not" in refusal({"MODEL_SHA256": "0" * 64}).message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"chanels": [1, 1]}, "has no 'chanels'"),
        ({"in_channels": 4}, "in_channels 4"),
        ({"out_channels": 3}, "out_channels 3"),
        ({"channels": [8, 16, 32]}, "one stride fewer"),
        ({"strides": [0]}, "lists of numbers"),
        ({"window": 15, "strides": [2]}, "a multiple of 2"),
        ({"window": [16, 16]}, "one size or three"),
        ({"peak": 1.0}, "`peak` is a probability"),
    ],
)
def test_a_wrong_specification_says_what_is_wrong(spec: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert message in refusal(detector(tmp_path, **spec)).message


@pytest.mark.parametrize("text", ["{", "[]", '{"_target_": "monai.networks.nets.SegResNet"}'])
def test_a_specification_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    options = detector(tmp_path)
    (tmp_path / "best_model.json").write_text(text)
    assert "best_model.json" in refusal(options).message


def test_a_network_that_changes_the_size_is_refused(tmp_path: Path) -> None:
    weights = state() | {"model.2.conv.weight": torch.zeros(2, 1, 5, 5, 5)}
    message = refusal(detector(tmp_path, weights, up_kernel_size=5)).message
    assert "turns 32 voxels a side into 34 x 34 x 34" in message
