"""Makes films with known turns and speakers, for the tests and the card: real recordings joined with known pauses.

Voices are Asterisk's prompts, one person a language. Those at 16 kHz are in the films of the tests; three more, as telephones
send them (GSM, 8 kHz), played no part in any choice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from processors.artifacts import unpacked
from processors.speech.audio import RATE, Samples

#: By voice: the artefact, its files, and FFmpeg's name of their format.
WIDE = {
    "Allison": ("asterisk-core-sounds-en-g722", "*/en_US_f_Allison/*.g722", "g722"),
    "June": ("asterisk-core-sounds-fr-g722", "*/fr_CA_f_June/*.g722", "g722"),
    "Carlo": ("asterisk-core-sounds-it-g722", "*/it_IT_m_Carlo/*.g722", "g722"),
    "IvrvoiceRU": ("asterisk-core-sounds-ru-g722", "*/ru_RU_f_IvrvoiceRU/*.g722", "g722"),
}
NARROW = {
    "Dal Zot": ("asterisk-prompt-it-menardi-wav", "*/it_IT_f_Menardi/*.wav", "wav"),
    "Desjardins": ("asterisk-prompt-fr-armelle", "*/fr/*.gsm", "gsm"),
    "Jiménez": ("asterisk-prompt-es-co", "*/es/*.gsm", "gsm"),
}
#: Seconds of a recording that is used, and how many of a voice are.
SHORTEST_S, LONGEST_S, MOST = 1.2, 7.0, 60
#: Sound this far below a recording's loudest 10 ms is silence: it is cut off at both ends, so that turns have known times.
SILENT_DB = -35.0
#: Root mean square of a recording, and of the noise under all of the film.
LOUDNESS, NOISE = 0.06, 0.0008
TURNS, FRAMES_PER_S = 10, 5


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds from the film's beginning."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    samples: Samples
    turns: list[Turn]

    @property
    def speakers(self) -> int:
        return len({turn.speaker for turn in self.turns})


def recordings(voices: Mapping[str, tuple[str, str, str]]) -> dict[str, list[Samples]]:
    """Return recordings by voice, in an order of their own, equally loud and without silence at their ends."""
    found = {}
    for voice, (artefact, pattern, kind) in voices.items():
        paths = sorted((unpacked(artefact) / "usr/share/asterisk").glob(pattern))
        random.Random(voice).shuffle(paths)  # noqa: S311 - an order, no secret
        clips: list[Samples] = []
        for path in paths:
            clip = trimmed(decoded(path, kind))
            if SHORTEST_S <= len(clip) / RATE <= LONGEST_S:
                clips.append(clip * np.float32(LOUDNESS / np.sqrt(np.mean(np.square(clip)))))
            if len(clips) == MOST:
                break
        found[voice] = clips
    return found


def dialogue(clips: Mapping[str, Sequence[Samples]], speakers: int, seed: int) -> Dialogue:
    """Join recordings of `speakers` voices in random order, each at its own loudness, with pauses of 0.25 to 1.2 s."""
    chance = random.Random(seed)  # noqa: S311 - repeatable films
    voices = chance.sample(sorted(clips), speakers)
    order = voices + [chance.choice(voices) for _ in range(TURNS - speakers)]
    chance.shuffle(order)
    parts, turns, at = [_silence(chance.uniform(0.5, 1.5))], [], 0
    for voice in order:
        at = sum(map(len, parts))
        clip = chance.choice(clips[voice])
        turns.append(Turn(at / RATE, (at + len(clip)) / RATE, voice))
        parts += [clip * np.float32(10 ** (chance.uniform(-4, 4) / 20)), _silence(chance.uniform(0.25, 1.2))]
    samples = np.concatenate(parts)
    noise = np.random.default_rng(seed).normal(0.0, NOISE, len(samples))
    return Dialogue((samples + noise).astype(np.float32), turns)


def write_film(path: Path, samples: Samples | None, seconds: float | None = None) -> Path:
    """Write an MP4 (H.264, and AAC at 48 kHz unless `samples` is None) of `seconds`, default: as long as its sound."""
    length_s = seconds if seconds is not None else len(samples if samples is not None else ()) / RATE
    with av.open(str(path), "w") as film:
        picture = film.add_stream("libx264", rate=FRAMES_PER_S, options={"preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        sound = film.add_stream("aac", rate=48_000, layout="mono") if samples is not None else None
        for number in range(max(1, round(length_s * FRAMES_PER_S))):
            grey = np.full((64, 64, 3), number % 256, np.uint8)
            film.mux(picture.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        film.mux(picture.encode())
        if sound is not None and samples is not None:
            for begin in range(0, len(samples), RATE):
                piece = np.ascontiguousarray(samples[None, begin : begin + RATE])
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
                film.mux(sound.encode(frame))
            film.mux(sound.encode())
    return path


def decoded(path: Path, kind: str) -> Samples:
    """Return a recording's samples, mono at 16 kHz. `kind`: FFmpeg's name of its format."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(path), format=kind) as container:
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float32)


def trimmed(clip: Samples) -> Samples:
    """Cut off the silence at both ends."""
    step = RATE // 100
    loudness = np.sqrt(np.mean(np.square(clip[: len(clip) // step * step].reshape(-1, step)), axis=1))
    (loud,) = np.nonzero(loudness > loudness.max() * 10 ** (SILENT_DB / 20))
    return clip[loud[0] * step : (loud[-1] + 1) * step]


def _silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), np.float32)
