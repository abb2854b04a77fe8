"""A Hugging Face directory that is not whole, or can't be trusted, is refused with what to do. Nothing is loaded here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from processors.language.directory import checked_directory, hash_of
from schemas.errors import ModelNotFound


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that looks whole, with its weights in two shards."""
    made = tmp_path / "exaone"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "exaone4"}')
    (made / "tokenizer.json").write_text("{}")
    for name in ("a.safetensors", "b.safetensors"):
        save_file({name: np.zeros(3, np.float32)}, made / name)
    weights = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}
    (made / "model.safetensors.index.json").write_text(json.dumps(weights))
    return made


def refused(folder: Path, sha256: str = "") -> str:
    with pytest.raises(ModelNotFound) as refusal:
        checked_directory(str(folder), sha256)
    assert refusal.value.next_step
    return str(refusal.value)


def test_a_whole_directory_is_accepted(folder: Path) -> None:
    assert checked_directory(str(folder)) == folder
    (folder / "model.safetensors.index.json").unlink()
    (folder / "a.safetensors").rename(folder / "model.safetensors")
    assert checked_directory(str(folder)) == folder


def test_no_directory(tmp_path: Path) -> None:
    assert "which is no directory" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"model_type": 4}', "[" * 100_000])
def test_no_configuration(folder: Path, text: str | None) -> None:
    (folder / "config.json").unlink() if text is None else (folder / "config.json").write_text(text)
    assert "config.json" in refused(folder)


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer" in refused(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "b.safetensors").unlink()
    assert "lacks 1 of 2 files of weights: b.safetensors." in refused(folder)


@pytest.mark.parametrize("place", ["../b.safetensors", "/etc/passwd", "", 5])
def test_shards_outside_the_directory_are_refused(folder: Path, place: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": place}}))
    assert "does not list files of that folder" in refused(folder)


def test_a_shard_that_was_cut_short_is_named(folder: Path) -> None:
    (folder / "b.safetensors").write_bytes((folder / "b.safetensors").read_bytes()[:-2])
    assert "b.safetensors can't be read as safetensors" in refused(folder)


def test_a_pointer_of_git_lfs_is_named(folder: Path) -> None:
    (folder / "b.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    assert "b.safetensors is a pointer of Git LFS" in refused(folder)


@pytest.mark.parametrize(
    ("name", "says"), [("pytorch_model.bin", "as pickles alone"), ("model.gguf", "GGUF"), ("x.txt", "has no weights")]
)
def test_weights_that_are_not_read(folder: Path, name: str, says: str) -> None:
    (folder / "model.safetensors.index.json").unlink()
    (folder / name).write_bytes(b"")
    assert says in refused(folder)


def test_an_adapter_alone_is_no_model(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    assert "holds an adapter" in refused(folder)


def test_the_hash_is_the_shells_and_is_compared(folder: Path) -> None:
    command = "LC_ALL=C; export LC_ALL; sha256sum *.json *.safetensors | sha256sum"
    printed = subprocess.run(["sh", "-c", command], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert printed.split()[0] == hash_of(folder)
    assert checked_directory(str(folder), hash_of(folder).upper()) == folder
    (folder / "tokenizer.json").write_text("{ }")
    assert "is another model than LLM_SHA256 says" in refused(folder, printed.split()[0])
