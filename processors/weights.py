"""Finds files of weights, compares them with the hash that the code expects, and reads them without running code in them."""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ModelNotFound

if TYPE_CHECKING:
    import torch

_TORCH_SUFFIXES = {".pt", ".pth"}


def find_weights(name: str, sha256: str, *, beside: Path, directory: Path | None = None) -> Path:
    """Return the file called `name` in `directory`, else in `beside`, after comparing its sha256.

    Raises ModelNotFound if neither folder has it, or if the first one found has another hash.
    """
    folders = [folder for folder in (directory, beside) if folder is not None]
    for folder in folders:
        path = folder / name
        if path.is_file():
            return _compared(path, sha256)
    searched = " and ".join(str(folder) for folder in folders)
    raise ModelNotFound(
        f"The weights {name!r} are missing: looked in {searched}.",
        next_step="Put the file there, or set SLUICE_WEIGHTS_DIR to the folder that has it.",
    )


def weights_beside(processor: type) -> Path:
    """Return the folder `weights/` next to the module that defines `processor`."""
    file = sys.modules[processor.__module__].__file__
    assert file is not None
    return Path(file).parent / "weights"


def sha256_of(path: Path) -> str:
    """Return a file's sha256 in lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Load tensors by name from a .safetensors file, or from a torch file that holds nothing but tensors.

    Raises ModelNotFound for a format that can only be read by running code, and for damaged files.
    """
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if path.suffix in _TORCH_SUFFIXES:
        return _load_torch(path)
    raise ModelNotFound(
        f"{path.name} is neither .safetensors nor .pt: other formats may carry code and are not read.",
        next_step="Save the tensors with safetensors.torch.save_file.",
    )


def _compared(path: Path, expected: str) -> Path:
    found = sha256_of(path)
    if found != expected:
        raise ModelNotFound(
            f"The weights {path} are altered: expected sha256 {expected}, found {found}.",
            next_step="Restore the file that belongs to this version.",
        )
    return path


def _load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelNotFound(f"{path.name} can't be read as safetensors: {error}.") from error


def _load_torch(path: Path) -> dict[str, torch.Tensor]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelNotFound(
            f"{path.name} holds more than tensors; reading it could run code, so it is refused.",
            next_step="Save the tensors alone, best with safetensors.torch.save_file.",
        ) from error
    except (RuntimeError, OSError, EOFError) as error:
        raise ModelNotFound(f"{path.name} can't be read as a torch file: {error}.") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelNotFound(f"{path.name} is not a dictionary of tensors by name.")
    return state
