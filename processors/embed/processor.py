"""The processor `embed`: checks the pixels, runs whole batches through the network, returns the vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from processors.embed.network import BRIGHTEST, PIXELS, DigitNet
from processors.policy import Batch, Policy
from processors.protocol import Job, JobContext, LoadContext
from processors.weights import load_state
from schemas.errors import InvalidInput
from schemas.records import EmbedInput, EmbedOutput

WEIGHTS_NAME = "digits.safetensors"
WEIGHTS_SHA256 = "8d051fff0ba3b1eb58d70237eeb1d5461992fa42ace7fff0b97eadb57cfc0026"

Row = NDArray[np.float32]


class Embed:
    name = "embed"
    version = "1.0"
    request = EmbedInput
    result = EmbedOutput
    policy = Policy(batch=Batch(max_size=256, max_wait_ms=2.0))
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        network = DigitNet()
        network.load_state_dict(load_state(ctx.weights(WEIGHTS_NAME, WEIGHTS_SHA256)))
        self._network = network.eval().to(ctx.device)
        self._device = ctx.device
        self.model_sha256 = WEIGHTS_SHA256
        self.run([np.zeros(PIXELS, dtype=np.float32)])

    def prepare(self, job: Job[EmbedInput], ctx: JobContext) -> Row:
        """The pixels as a row of the batch. Raises InvalidInput unless they are 64 finite values in 0..16."""
        if len(job.input.pixels) != PIXELS:
            raise InvalidInput(f"A digit has {PIXELS} pixels (8 rows of 8), got {len(job.input.pixels)}.")
        pixels = np.array(job.input.pixels)
        # NaN fails both comparisons.
        if not (pixels.min() >= 0.0 and pixels.max() <= BRIGHTEST):
            raise InvalidInput(f"Every pixel must be a finite number from 0 to {BRIGHTEST:.0f}.")
        return pixels.astype(np.float32)

    def run(self, items: Sequence[Row]) -> Sequence[Row]:
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(items)).to(self._device)
            return list(self._network(batch).cpu().numpy())

    def finish(self, job: Job[EmbedInput], raw: Row, ctx: JobContext) -> EmbedOutput:
        return EmbedOutput(raw.tolist())
