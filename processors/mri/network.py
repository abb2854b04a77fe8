"""The network: MONAI's 3-D `UNet`, built from a specification that is data, so that a user's own checkpoint fits too.

MONAI takes seconds to import: only functions import it, and only a worker's child calls them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, cast

import torch

from schemas.errors import ModelNotFound

Spec = Mapping[str, Any]

#: The arguments of `monai.networks.nets.UNet` that the shipped weights belong to: three levels at full resolution with few
#: channels, then two at each resolution. `transfer.py` says why.
SPEC: Spec = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 1,
    "channels": (8, 8, 8, 24, 24, 48, 48, 64, 64),
    "strides": (1, 1, 1, 2, 1, 2, 1, 2),
    "num_res_units": 0,
    "norm": None,
    "act": "PRELU",
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
    return _served(network.eval()).to(memory_format=torch.channels_last_3d)


def _served(network: torch.nn.Module) -> torch.nn.Module:
    """Transposed convolutions of stride 1 become the convolutions that compute the same: much faster on CPUs."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.ConvTranspose3d) and child.stride == (1, 1, 1) and child.groups == 1:
                setattr(module, name, _convolution(child))
    return network


def _convolution(layer: torch.nn.ConvTranspose3d) -> torch.nn.Conv3d:
    kernel: Any = layer.kernel_size
    dilation: Any = layer.dilation
    padding: Any = [
        (side - 1) * apart - rim
        for side, apart, rim in zip(kernel, dilation, cast(tuple[int, int, int], layer.padding), strict=True)
    ]
    convolution = torch.nn.Conv3d(
        layer.in_channels, layer.out_channels, kernel, padding=padding, dilation=dilation, bias=layer.bias is not None
    )
    with torch.no_grad():
        convolution.weight.copy_(layer.weight.flip(2, 3, 4).transpose(0, 1))
        if layer.bias is not None and convolution.bias is not None:
            convolution.bias.copy_(layer.bias)
    return convolution.train(layer.training)
