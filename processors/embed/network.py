"""The network: two small convolutions and a projection, from 64 pixels to a unit vector of 32 numbers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

SIDE = 8
PIXELS = SIDE * SIDE
BRIGHTEST = 16.0
DIMENSIONS = 32


class DigitNet(nn.Module):
    """(N, 64) grey values 0..16 → (N, 32) vectors of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        )
        self.project = nn.Sequential(nn.Linear(32 * 16, 128), nn.ReLU(inplace=True), nn.Linear(128, DIMENSIONS))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        image = pixels.view(-1, 1, SIDE, SIDE) / BRIGHTEST - 0.3
        return functional.normalize(self.project(self.features(image)), dim=1)
