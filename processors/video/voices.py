"""The voice encoder: stretches of speech in, a point on the unit sphere for each; one voice's points lie close together.

The network and its weights are Resemblyzer 0.1.4's (Apache-2.0; https://github.com/resemble-ai/Resemblyzer): a GE2E speaker
encoder (Wan et al. 2018, arXiv:1710.10467), trained on LibriSpeech, VoxCeleb 1 and 2. Its mel spectrogram is librosa's
(Slaney's scale and norm); a unit test compares this one with figures from librosa 0.11.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from processors.weights import load_state
from schemas.errors import ModelNotFound

FloatArray = NDArray[np.float32]

WEIGHTS_NAME = "voices.safetensors"
WEIGHTS_SHA256 = "a5d4776b403b69593e4a10212aeacf7d35b56e9d0a2022058c6d4f888202e069"

RATE = 16_000
#: Samples of a window of the spectrogram (25 ms), and between two (10 ms).
WINDOW, HOP = 400, 160
MELS = 40
#: Frames of a stretch that the network was trained on: 1.6 s.
FRAMES = 160
STRETCH = FRAMES * HOP
#: Softer speech is raised to this root mean square, as in training: -30 dBFS.
LOUDNESS = 10 ** (-30 / 20)
#: Stretches in one pass of the network.
BATCH = 64


class VoiceNetwork(nn.Module):
    """Mel spectrograms (stretches, frames, MELS) in, embeddings (stretches, 256) of length 1 out."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


class Voices:
    """The encoder on a device."""

    def __init__(self, path: Path, device: str) -> None:
        """Load the weights. Raises ModelNotFound."""
        self._network = VoiceNetwork()
        try:
            self._network.load_state_dict(load_state(path))
        except RuntimeError as error:
            raise ModelNotFound(f"{path.name} holds no weights of the voice encoder.") from error
        self._network.eval().to(device)
        self._filters = torch.from_numpy(mel_filters()).to(device)
        self._hann = torch.hann_window(WINDOW, device=device)
        self._device = device

    @torch.inference_mode()
    def embed(self, stretches: Sequence[FloatArray], stop: Callable[[], None] = lambda: None) -> FloatArray:
        """Return an embedding a stretch, (stretches, 256). A stretch is up to 1.6 s of sound at 16 kHz.

        `stop` is called between passes and may raise.
        """
        found = [np.zeros((0, 256), np.float32)]
        for batch in _batches(stretches):
            stop()
            padded = np.stack([_padded(stretch) for stretch in batch])
            mels = self._mels(torch.from_numpy(padded).to(self._device))
            found.append(self._network(mels).cpu().numpy())
        return np.concatenate(found)

    def _mels(self, samples: torch.Tensor) -> torch.Tensor:
        """Return power spectrograms on the mel scale, (stretches, FRAMES, MELS); no logarithm, as in training."""
        spectrum = torch.stft(
            samples, WINDOW, HOP, window=self._hann, center=True, pad_mode="constant", return_complex=True
        )
        return torch.matmul(self._filters, spectrum.abs().square()).transpose(1, 2)[:, :FRAMES]


def mel_filters() -> FloatArray:
    """Return triangular filters on Slaney's mel scale, each of area 1, (MELS, WINDOW // 2 + 1).

    The scale is linear below 1 kHz and logarithmic above (Slaney 1998, Auditory Toolbox).
    """
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(RATE / 2), MELS + 2))
    ramps = edges[:, None] - np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)[None, :]
    widths = np.diff(edges)
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None], np.float32)


#: Slaney's scale: 15 mel are 1,000 Hz; above, 27 mel are a factor of 6.4.
_MEL_HZ, _BREAK_HZ, _LOG_STEP = 200.0 / 3, 1000.0, math.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    return _BREAK_HZ / _MEL_HZ + math.log(hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mels - _BREAK_HZ / _MEL_HZ))
    return np.where(mels < _BREAK_HZ / _MEL_HZ, _MEL_HZ * mels, above)


def _batches(stretches: Sequence[FloatArray]) -> Iterator[Sequence[FloatArray]]:
    for start in range(0, len(stretches), BATCH):
        yield stretches[start : start + BATCH]


def _padded(stretch: FloatArray) -> FloatArray:
    """Return a stretch at the loudness of the training, filled up with silence to 1.6 s."""
    loudness = float(np.sqrt(np.mean(np.square(stretch)))) if len(stretch) else 0.0
    raised = stretch * np.float32(LOUDNESS / loudness) if 0 < loudness < LOUDNESS else stretch
    return np.pad(raised, (0, STRETCH - len(raised))).astype(np.float32)
