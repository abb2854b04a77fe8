"""Audio files for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from processors.speech.audio import RATE, Samples
from tests.harness.source_tree import ROOT

#: 3.3 s, one sentence (its README.md has the source).
CLIP = ROOT / "tests" / "data" / "speech" / "amiable.flac"


def write_wav(path: Path, samples: Samples, rate: int = RATE) -> Path:
    """Write mono samples as 32-bit floats."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1).astype(np.float32), format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
