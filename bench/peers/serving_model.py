"""The model that servers are compared with: network and weights of the processor `embed`, as a bare loop would use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from processors.embed import network

WEIGHTS = Path(network.__file__).parent / "weights" / "digits.safetensors"
#: The limits of a batch, those of `embed`: items, and the milliseconds to wait for more.
MAX_BATCH, MAX_WAIT_MS = 256, 2


class DigitModel:
    def __init__(self) -> None:
        self.device = "cuda:0" if torch.cuda.is_available() else "cpu"
        self._network = network.DigitNet()
        self._network.load_state_dict(load_file(WEIGHTS))
        self._network.eval().to(self.device)
        self.vectors([[0.0] * network.PIXELS])

    def vectors(self, images: Sequence[Sequence[float]]) -> list[list[float]]:
        with torch.inference_mode():
            batch = torch.from_numpy(np.array(images, dtype=np.float32)).to(self.device)
            return self._network(batch).cpu().tolist()
