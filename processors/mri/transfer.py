"""Carries the weights of a `LesionNet`, the network of `segmentation`, into MONAI's `UNet`: the same function in other layers.

`LesionNet` adds what comes up from below to what came down; MONAI's `UNet` joins the two as channels. Two levels hand the
finest features on as they are, a transposed convolution repeats voxels, and a PReLU of slope 1 keeps the sign of what is passed
up; a slope of 0 is a ReLU. So training may run in the cheaper form, and the file holds MONAI's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from processors.segmentation.network import LesionNet


@torch.no_grad()
def carry_over(source: LesionNet, network: nn.Module) -> None:
    """Write the weights of `source`, as `restored` returns it (BatchNorm folded in), into a network of `SPEC`."""
    downs, ups = _levels(network)
    for each in (*downs, *ups):
        each.conv.weight.zero_()
        each.conv.bias.zero_()
    _convolve(downs[0], source.stem)
    for level in (1, 2):
        _pass_on(downs[level])
    for step, down in enumerate(source.down):
        assert isinstance(down, nn.Sequential)
        for half in (0, 1):
            _convolve(downs[3 + 2 * step + half], down[half])
    # From the deepest: lift, then merge; the last merge is followed by the outline.
    for step, (lift, merge) in enumerate(zip(source.lift, source.merge, strict=True)):
        _lift(ups[7 - 2 * step], lift)
        _join(ups[6 - 2 * step], merge)
    _after(ups[1], source.outline)
    head, last = source.head, ups[0].conv
    last.weight[head.weight.shape[1] :, :, 1, 1, 1] = head.weight[:, :, 0, 0, 0].T
    last.bias.copy_(head.bias)


def _levels(network: nn.Module) -> tuple[list[Any], list[Any]]:
    """MONAI's convolutions down (the deepest last) and up (the finest first)."""
    downs, ups = [], []
    part: Any = network.model
    while isinstance(part, nn.Sequential) and len(part) == 3:
        downs.append(part[0])
        ups.append(part[2])
        part = part[1].submodule
    return [*downs, part], ups


def _convolve(layer: Any, block: Any) -> None:
    layer.conv.weight.copy_(block[0].weight)
    layer.conv.bias.copy_(block[0].bias)
    layer.adn.A.weight.zero_()


def _pass_on(layer: Any) -> None:
    for channel in range(layer.conv.weight.shape[0]):
        layer.conv.weight[channel, channel, 1, 1, 1] = 1.0
    layer.adn.A.weight.fill_(1.0)


def _lift(layer: Any, lift: Any) -> None:
    """The 1 x 1 x 1 convolution and the repetition of each voxel, as one transposed convolution of what came up."""
    weight = lift.weight[:, :, 0, 0, 0].T
    below = layer.conv.weight.shape[0] - weight.shape[0]
    # Taps 1 and 2 of three reach the voxels 2i and 2i + 1.
    layer.conv.weight[below:, :, 1:, 1:, 1:] = weight[:, :, None, None, None]
    layer.conv.bias.copy_(lift.bias)
    layer.adn.A.weight.fill_(1.0)


def _join(layer: Any, block: Any) -> None:
    """A convolution of the sum of both halves of the channels."""
    kernel = _transposed(block[0].weight)
    layer.conv.weight.copy_(torch.cat([kernel, kernel]))
    layer.conv.bias.copy_(block[0].bias)
    layer.adn.A.weight.zero_()


def _after(layer: Any, block: Any) -> None:
    """A convolution of what came up alone."""
    kernel = _transposed(block[0].weight)
    layer.conv.weight[-kernel.shape[0] :] = kernel
    layer.conv.bias.copy_(block[0].bias)
    layer.adn.A.weight.zero_()


def _transposed(weight: torch.Tensor) -> torch.Tensor:
    """The kernel of the transposed convolution of stride 1 that computes the same."""
    return weight.flip(2, 3, 4).transpose(0, 1)
