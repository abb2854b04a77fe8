"""The network: a small 3-D U-Net with additive skips, full resolution in and out.

Most of the arithmetic is at half resolution and below; the finest level only has to draw crisp outlines, so eight channels
do. Fully convolutional: trained on patches, run on whole brains.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from schemas.errors import ModelNotFound

WIDTHS = (8, 24, 48, 64)


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    )


class LesionNet(nn.Module):
    """(N, 1, X, Y, Z) z-scored intensities, each side a multiple of 8 → lesion logits of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(1, WIDTHS[0])
        steps = list(pairwise(WIDTHS))
        self.down = nn.ModuleList(nn.Sequential(_block(fine, deep, 2), _block(deep, deep)) for fine, deep in steps)
        self.lift = nn.ModuleList(nn.Conv3d(deep, fine, 1) for fine, deep in reversed(steps))
        self.merge = nn.ModuleList(_block(fine, fine) for fine, _ in reversed(steps))
        self.outline = _block(WIDTHS[0], WIDTHS[0])
        self.head = nn.Conv3d(WIDTHS[0], 1, 1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, -4.0)  # lesions are rare: begin by saying so

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = [self.stem(image)]
        for down in self.down:
            levels.append(down(levels[-1]))
        deep = levels.pop()
        for lift, merge in zip(self.lift, self.merge, strict=True):
            deep = merge(levels.pop() + functional.interpolate(lift(deep), scale_factor=2.0, mode="nearest"))
        logits: torch.Tensor = self.head(self.outline(deep))
        return logits


def restored(state: Mapping[str, torch.Tensor]) -> LesionNet:
    """A network ready to serve: these weights, in full precision. Raises ModelNotFound if they are another network's."""
    network = LesionNet()
    try:
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except RuntimeError as error:
        raise ModelNotFound(
            "The weights do not fit the network of this version: layers are missing or differ."
        ) from error
    return _fused(network.eval())


def _fused(network: LesionNet) -> LesionNet:
    """Each BatchNorm folded into the convolution before it: the same numbers, a third less memory to walk through."""
    for block in list(network.modules()):
        if (
            isinstance(block, nn.Sequential)
            and isinstance(block[0], nn.Conv3d)
            and isinstance(block[1], nn.BatchNorm3d)
        ):
            block[0] = fuse_conv_bn_eval(block[0], block[1])
            block[1] = nn.Identity()
    return network
