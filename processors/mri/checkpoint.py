"""Reads a user's checkpoint: a plain state dict or one wrapped by a training loop. Never runs code in it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from processors.mri.network import build
from processors.weights import load_state
from schemas.errors import ModelNotFound

State = dict[str, torch.Tensor]

#: Names under which training loops keep the network's state dict, in the order in which they are looked for.
WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "net_state_dict", "network_weights")
#: What wrappers of the network put before its layers' names: DataParallel, torch.compile.
PREFIXES = ("module.", "_orig_mod.")
NAMED = 10
#: First bytes of a torch file: a zip, or in old ones a pickle.
_STARTS = (b"PK", b"\x80")
#: BatchNorm's count of batches, which inference does not use.
COUNTERS = "num_batches_tracked"
_SAVE = "Save the weights alone: torch.save(model.state_dict(), 'best_model.pth')."


def read_state(file: Path) -> State:
    """Return the tensors of a checkpoint by their names, without a wrapper and its prefix. Raises ModelNotFound."""
    state = load_state(file) if file.suffix == ".safetensors" else _unwrapped(_loaded(file), file.name)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def fitted(state: Mapping[str, torch.Tensor], spec: Mapping[str, Any], source: str) -> State:
    """Return the state under the names of the network that `spec` describes.

    Raises ModelNotFound, with the names and shapes, if layers are missing, unexpected, of another shape, or not finite.
    """
    wanted = {
        name: tuple(value.shape) for name, value in build(spec).state_dict().items() if not name.endswith(COUNTERS)
    }
    state = _without_prefix({name: value for name, value in state.items() if not name.endswith(COUNTERS)}, set(wanted))
    faults = list(_misfits(state, wanted))
    if faults:
        raise ModelNotFound(
            f"{source} is of another architecture than {_short(spec)}: {'; '.join(faults)}.",
            next_step="Describe its own in MODEL_SPEC or in a JSON file of the same name beside it (docs/models.md).",
        )
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ModelNotFound(
            f"{source} has weights that are NaN or infinite: {_listed(broken)}.",
            next_step="Take an earlier checkpoint: this training has diverged.",
        )
    return state


def _loaded(file: Path) -> Any:
    """Read a torch file. Numbers of numpy, which training loops store beside the weights, are allowed: they hold no code."""
    scalar: Any = np.float64(0.0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    kinds = {type(np.dtype(kind)) for kind in ("f8", "f4", "f2", "i8", "i4", "?")}
    try:
        with torch.serialization.safe_globals([*((scalar, name) for name in names), np.dtype, *kinds]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        with file.open("rb") as opened:
            start = opened.read(2)
        if not start.startswith(_STARTS):
            raise ModelNotFound(
                f"{file.name} is no torch file: it begins like neither a zip nor a pickle.",
                next_step="A page of a failed download or a pointer of Git LFS looks so: fetch the file itself.",
            ) from error
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"the class {found[1][:80]}" if found else "more than tensors"
        raise ModelNotFound(
            f"{file.name} holds {what}, not weights alone; reading it could run code, so it is refused.",
            next_step=_SAVE,
        ) from error
    except Exception as error:  # a damaged file makes torch's reader raise anything, from IndexError to struct.error
        if "TorchScript" in str(error):
            raise ModelNotFound(f"{file.name} is a TorchScript archive, which holds code.", next_step=_SAVE) from error
        raise ModelNotFound(
            f"{file.name} can't be read as a torch file: it is damaged, cut short, or another format ({type(error).__name__}).",
            next_step="Compare its size and sha256 with the original's.",
        ) from error


def _unwrapped(found: Any, source: str, depth: int = 0) -> State:
    """Return the state dict itself. Raises ModelNotFound if there is none."""
    if isinstance(found, Mapping):
        tensors = {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}
        if tensors and len(tensors) == len(found):
            return tensors
        for name in WRAPPERS:
            if isinstance(found.get(name), Mapping) and depth < 3:
                return _unwrapped(found[name], source, depth + 1)
        listed = ", ".join(str(name)[:40] for name in list(found)[:NAMED])
        raise ModelNotFound(
            f"{source} has no state dict under a known name ({', '.join(WRAPPERS)}); it has: {listed or 'nothing'}.",
            next_step=_SAVE,
        )
    raise ModelNotFound(f"{source} holds a {type(found).__name__}, not a dictionary of tensors.", next_step=_SAVE)


def _without_prefix(state: State, wanted: set[str]) -> State:
    """Remove the prefix that a training module puts before the names (`net.`, `model.`), if more names then fit."""
    prefixes = {name[: -len(end)] for end in sorted(wanted)[:1] for name in state if name.endswith(end)}
    best = max(sorted(prefixes | {""}), key=lambda prefix: sum(prefix + name in state for name in wanted))
    return {name.removeprefix(best): value for name, value in state.items() if name.startswith(best)}


def _misfits(state: Mapping[str, torch.Tensor], wanted: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    other = [
        f"{name} is {_size(state[name].shape)} in the file, {_size(shape)} in the network"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if missing:
        yield f"missing layers: {_listed(missing)}"
    if unexpected:
        yield f"unexpected layers: {_listed(unexpected)}"
    if other:
        yield f"other shapes: {_listed(other)}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(name[:120] for name in names[:NAMED]) + more


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _short(spec: Mapping[str, Any]) -> str:
    return f"UNet(channels {tuple(spec['channels'])}, strides {tuple(spec['strides'])}, num_res_units {spec['num_res_units']})"
