"""Real networks as devices of `python -m bench.device`: a small one for a CPU, one with a thousand launches for a GPU.

Their weights are random, so they recognize nothing. Outputs are class numbers, which are the same for every batch that an
image is in, unlike the last bits of a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.device_models import Floats, Launching
from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.records import EchoInput, EchoOutput


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(images + self.steps(images))


def residual_network(channels: int, blocks: int) -> nn.Module:
    """Return a network from images of three colours to 1000 classes, the same one in every process."""
    torch.manual_seed(1)
    first = nn.Conv2d(3, channels, 7, stride=4, padding=3)
    layers = [first, *(ResidualBlock(channels) for _ in range(blocks))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)).eval()


class SmallNetwork(Launching):
    """Images of 3×32×32, a byte each value; eight blocks of sixteen channels: about a millisecond of a CPU each."""

    version = "network"
    policy = Policy(batch=Batch(max_size=32, max_wait_ms=5.0), in_flight=256)
    message_bytes, jobs = 3 * 32 * 32, 640
    side, channels, blocks = 32, 16, 8

    def load(self, ctx: LoadContext) -> None:
        super().load(ctx)
        if not ctx.helper:
            self._device = ctx.device
            self._network = residual_network(self.channels, self.blocks).to(ctx.device)

    def run(self, items: Sequence[Floats]) -> Sequence[Any]:
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(items)).to(self._device).view(-1, 3, self.side, self.side)
            classes: list[int] = self._network(batch).argmax(dim=1).cpu().tolist()
            return classes

    def finish(self, job: Job[EchoInput], raw: Any, ctx: JobContext) -> EchoOutput:
        return EchoOutput(str(raw), len(job.input.message))


class Deep(SmallNetwork):
    """Images of 3×128×128, 49 KB a job; 160 blocks, so that a batch is over a thousand launches from Python."""

    version = "deep"
    policy = Policy(batch=Batch(max_size=64, max_wait_ms=5.0), in_flight=512)
    message_bytes, jobs = 3 * 128 * 128, 2_560
    side, channels, blocks = 128, 64, 160


NETWORKS: dict[str, type[Any]] = {each.version: each for each in (SmallNetwork, Deep)}
