"""The network: MONAI's 3-D `UNet`, built from a specification that is data, so that a user's own checkpoint fits too.

MONAI takes seconds to import: only functions import it, and only a worker's child calls them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch

from schemas.errors import ModelNotFound

Spec = Mapping[str, Any]

#: The arguments of `monai.networks.nets.UNet` that the shipped weights belong to: half resolution at once, which
#: sixteen channels can carry without loss, then two levels at a quarter and three at an eighth, where context is cheap.
SPEC: Spec = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 1,
    "channels": (16, 32, 48, 64, 64, 48),
    "strides": (2, 2, 1, 2, 1, 1),
    "num_res_units": 0,
    "norm": "batch",
    "act": "relu",
}


def build(spec: Spec = SPEC) -> torch.nn.Module:
    """Return a network with random weights: (N, 1, X, Y, Z) z-scored intensities, each side a multiple of
    `multiple(spec)` → logits of the same shape.

    Raises ModelNotFound if MONAI refuses the specification.
    """
    from monai.networks.nets.unet import UNet

    try:
        return UNet(**spec)
    except (TypeError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise ModelNotFound(
            f"MONAI's UNet does not take this specification: {str(error).strip()[:500]}",
            next_step="Correct the specification (docs/models.md).",
        ) from error


def multiple(spec: Spec = SPEC) -> int:
    """Return what each side of a volume must be a multiple of: the product of the strides."""
    return prod(spec["strides"])


def restored(state: Mapping[str, torch.Tensor], spec: Spec = SPEC) -> torch.nn.Module:
    """Return a network ready to serve: these weights, in full precision.

    Raises ModelNotFound, with the names of the layers, if the weights are another network's.
    """
    network = build(spec)
    # BatchNorm's count of batches, the only integer, is not saved with half precision.
    kept = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict(kept | {name: value.float() for name, value in state.items()})
    except RuntimeError as error:
        raise ModelNotFound(
            f"The weights do not fit the network: {str(error).splitlines()[1].strip()[:300]}"
            if "\n" in str(error)
            else f"The weights do not fit the network: {str(error)[:300]}",
            next_step="Give the checkpoint's own architecture: channels, strides, num_res_units, norm and act.",
        ) from error
    return network.eval()
