"""Weights are found, compared, and read without running anything."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from processors.embed import Embed
from processors.weights import find_weights, load_state, sha256_of, weights_beside
from schemas.errors import ModelNotFound


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "beside" / "net.safetensors"
    path.parent.mkdir()
    save_file({"weight": torch.arange(4.0)}, path)
    return path


def test_weights_are_found_beside_the_processor() -> None:
    folder = weights_beside(Embed)
    assert folder.name == "weights"
    assert folder.parent.name == "embed"


def test_weights_with_the_right_hash_are_found(file: Path) -> None:
    assert find_weights(file.name, sha256_of(file), beside=file.parent) == file


def test_a_given_directory_comes_first(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "given" / file.name
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    assert find_weights(file.name, sha256_of(file), beside=file.parent, directory=other.parent) == other


def test_a_given_directory_without_the_file_leaves_the_one_beside(file: Path, tmp_path: Path) -> None:
    assert find_weights(file.name, sha256_of(file), beside=file.parent, directory=tmp_path) == file


def test_missing_weights_say_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"missing.*given.*beside.*SLUICE_WEIGHTS_DIR"):
        find_weights("net.safetensors", "0" * 64, beside=tmp_path / "beside", directory=tmp_path / "given")


def test_altered_weights_say_both_hashes(file: Path) -> None:
    expected = sha256_of(file)
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(ModelNotFound, match=f"altered: expected sha256 {expected}, found {found}"):
        find_weights(file.name, expected, beside=file.parent)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_tensors_come_back_as_they_were_saved(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    state = {"weight": torch.arange(4.0)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert torch.equal(load_state(path)["weight"], state["weight"])


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.folder,))


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save({"weight": Trap(str(sprung))}, tmp_path / "net.pt")
    with pytest.raises(ModelNotFound, match="could run code"):
        load_state(tmp_path / "net.pt")
    assert not sprung.exists()


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps({"weight": [1.0]}))
    with pytest.raises(ModelNotFound, match="may carry code"):
        load_state(path)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(ModelNotFound, match=name):
        load_state(tmp_path / name)
