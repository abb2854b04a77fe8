"""The architecture of a network as data: MONAI's arguments, its window, and the peak that a lesion must reach."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.mri.network import SPEC, multiple
from schemas.errors import ModelNotFound

#: Voxels a side that are computed at once. The longest brains fit, so that no window has an edge within one.
WINDOW = 224
#: Arguments of MONAI's UNet that a specification may have.
KEYS = (
    *("spatial_dims", "in_channels", "out_channels", "channels", "strides", "kernel_size", "up_kernel_size"),
    *("num_res_units", "act", "norm", "dropout", "bias", "adn_ordering"),
)
#: What a specification may have besides them.
OWN_KEYS = ("window", "peak")
_NEXT = "Correct the specification (docs/models.md): MODEL_SPEC, or the JSON file beside the weights."


@dataclass(frozen=True, slots=True)
class Architecture:
    """`unet`: arguments of MONAI's UNet. `window`: voxels along each axis that are computed at once, at most. `peak`: the
    probability that some voxel of a lesion must reach; 0 if any voxel above the threshold will do."""

    unet: Mapping[str, Any]
    window: tuple[int, int, int]
    peak: float = 0.0

    def padded(self, side: int) -> int:
        """Return the next length that the network takes: a multiple of its strides, and at least two of them."""
        step = multiple(self.unet)
        return max(2 * step, side + -side % step)


def specified(file: Path, option: str) -> Mapping[str, Any]:
    """Return the specification of a file of weights: MODEL_SPEC (JSON, or a file with it), else the JSON file beside it, else
    that of the shipped weights. Raises ModelNotFound."""
    beside = file.with_suffix(".json")
    if option.lstrip().startswith("{"):
        return _parsed(option, "MODEL_SPEC")
    if option or beside.is_file():
        source = Path(option) if option else beside
        try:
            return _parsed(source.read_text(encoding="utf-8"), source.name)
        except (OSError, UnicodeDecodeError) as error:
            raise ModelNotFound(
                f"The specification {source} can't be read: {type(error).__name__}.", next_step=_NEXT
            ) from error
    return SPEC


def architecture_of(spec: Mapping[str, Any]) -> Architecture:
    """Check a specification. What it does not say is as in the shipped network. Raises ModelNotFound."""
    given = dict(spec)
    window, peak = given.pop("window", None), given.pop("peak", 0.0)
    for name in given:
        if name not in KEYS:
            near = difflib.get_close_matches(name, (*KEYS, *OWN_KEYS), n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise ModelNotFound(f"A network's specification has no {name[:40]!r}.", next_step=f"{hint}{_NEXT}")
    unet = {**SPEC, **given}
    if unet["spatial_dims"] != 3 or unet["in_channels"] != 1 or unet["out_channels"] not in (1, 2):
        raise ModelNotFound(
            "The network must take one 3-D volume (spatial_dims 3, in_channels 1) and return one channel (sigmoid) or two "
            f"(softmax, lesion second); this one has spatial_dims {unet['spatial_dims']}, in_channels {unet['in_channels']}, "
            f"out_channels {unet['out_channels']}.",
            next_step="Use a network for one sequence and one kind of lesion.",
        )
    if not _sizes(unet["channels"]) or not _sizes(unet["strides"]) or len(unet["strides"]) != len(unet["channels"]) - 1:
        raise ModelNotFound("`channels` and `strides` are lists of numbers, with one stride fewer.", next_step=_NEXT)
    if type(peak) not in (int, float) or not 0.0 <= peak < 1.0:
        raise ModelNotFound("`peak` is a probability: from 0 on, below 1.", next_step=_NEXT)
    step = multiple(unet)
    return Architecture(unet, _window(WINDOW + -WINDOW % step if window is None else window, step), float(peak))


def _sizes(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(type(each) is int and each > 0 for each in value)


def _window(value: Any, step: int) -> tuple[int, int, int]:
    sides = [value] * 3 if type(value) is int else value
    if not _sizes(sides) or len(sides) != 3 or any(side % step or side < 2 * step for side in sides):
        raise ModelNotFound(
            f"`window` is one size or three, each a multiple of {step}, from {2 * step} on.", next_step=_NEXT
        )
    return (sides[0], sides[1], sides[2])


def _parsed(text: str, source: str) -> Mapping[str, Any]:
    """Read a specification, also as a MONAI bundle has it (`network_def`, with the class under `_target_`)."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ModelNotFound(f"The specification in {source} is no JSON: {error}.", next_step=_NEXT) from error
    if isinstance(found, dict):
        found = found.get("network_def", found)
    if not isinstance(found, dict):
        raise ModelNotFound(f"The specification in {source} is no JSON object.", next_step=_NEXT)
    target = str(found.get("_target_", "UNet"))
    if target.rpartition(".")[2] != "UNet":
        raise ModelNotFound(f"{source} describes a {target[:60]}; only MONAI's UNet can be built.", next_step=_NEXT)
    return {name: value for name, value in found.items() if not name.startswith("_")}
