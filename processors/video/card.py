"""Writes the model card as Markdown from the measurements of `evaluate.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from processors.video.films import NARROW, WIDE
from processors.video.processor import Video
from processors.video.scores import DiarisationError
from processors.video.speakers import FAR, PAUSE_IN_TURN_S, SHORT
from processors.video.voices import WEIGHTS_NAME, WEIGHTS_SHA256

CARD = Path(__file__).parent / "CARD.md"


@dataclass(frozen=True, slots=True)
class DialogueScores:
    """Made dialogues. `right`: those whose speakers were counted right. `error`: mean diarisation error; `interval`: its 95 %.
    `start_p95`, `end_p95`: 95th percentile of the errors of turns, in seconds."""

    dialogues: int
    right: int
    error: float
    interval: tuple[float, float]
    confused: float
    turns: int
    start_p95: float
    end_p95: float


@dataclass(frozen=True, slots=True)
class Real:
    """The sample of pyannote-audio. `found`: speakers; there are two."""

    error: DiarisationError
    found: int


def card(wide: DialogueScores, narrow: DialogueScores, real: Real, cpu: float) -> str:
    """Return the whole card. `cpu`: CPU seconds a second of film."""
    return f"""# Model card: video {Video.version}

Who says what, and when, in a film. It joins three models; this card measures turns and speakers. The text is Whisper's, and the
card of `speech` has its error rates ([processors/speech/CARD.md](../speech/CARD.md)): English is measured, Korean and all other
languages are not.

| step | model | licence |
|---|---|---|
| turns of speech | Silero VAD v6, from the wheel of faster-whisper; a pause of {PAUSE_IN_TURN_S} s ends a turn | MIT |
| speakers | the voice encoder of Resemblyzer 0.1.4, tensors unchanged (`convert.py`) | Apache-2.0 |
| text | Whisper tiny.en for English, base otherwise, or your own (SPEECH_MODEL_DIR) | MIT |

The voice encoder is `weights/{WEIGHTS_NAME}`, sha256 `{WEIGHTS_SHA256}`.

**Emotion is not available**: no package holds a model whose accuracy could be measured here. The result says so.

## Scores

Written by `python -m processors.video.evaluate`. Diarisation error: share of the time spoken that is missed, a false alarm or
given to the wrong speaker; collar 0, overlapping speech counts. Intervals are 95 %, by bootstrap over dialogues.

| films | speakers right | diarisation error | of it wrong speaker | turn starts, p95 | turn ends, p95 |
|---|---|---|---|---|---|
{_row(f"{wide.dialogues} made dialogues, 16 kHz", wide)}
{_row(f"{narrow.dialogues} made dialogues, GSM telephone", narrow)}
| a real conversation, 30 s | {real.found} found, 2 there | **{real.error.total:.3f}** | {real.error.confused:.3f} | | |

A whole job took {cpu:.2f} CPU seconds a second of film (two English-speaking voices, tiny.en).

- **Made dialogues**: one to three people, ten turns each, pauses of 0.25 to 1.2 s, no overlap: real recordings (Asterisk's
  prompts: {", ".join(WIDE)}) joined and written as MP4 with H.264 and AAC.
  The recordings' own pauses count as missed or false time.
- **GSM telephone**: the same from {", ".join(NARROW)}. These three voices played no part in any choice. They are the honest
  figure for voices recorded on different days through a telephone: one voice is often split in two.
- **A real conversation**: `sample.wav` of pyannote-audio 4.0.7 (MIT), two people with short overlapping turns.

## What is not held out

The two numbers of the clustering (FAR {FAR}, SHORT {SHORT}) were chosen on other dialogues of the four 16 kHz voices (some of
the recordings are the same), of flite's voices and of LibriVox and CMU Sphinx readers, and with sight of the real
conversation. The encoder's own training data (LibriSpeech, VoxCeleb) are its author's. No package has a larger labelled
conversation, so the error on your films may be larger: expect more than three speakers, music, crosstalk and far microphones
to be worse.
"""


def _row(name: str, scored: DialogueScores) -> str:
    low, high = scored.interval
    return (
        f"| {name} | **{scored.right} of {scored.dialogues}** | **{scored.error:.3f}** ({low:.3f} to {high:.3f}) "
        f"| {scored.confused:.3f} | {scored.start_p95:.3f} s | {scored.end_p95:.3f} s |"
    )
