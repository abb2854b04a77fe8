"""Writes the model card as Markdown from the measurements of `evaluate.py`."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from processors.speech.models import BASE, TINY_EN

CARD = Path(__file__).parent / "CARD.md"


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """The errors of one engine on one corpus.

    Attributes:
        error_rate: Word errors of all utterances by their words.
        interval: 95 %, by bootstrap over utterances.
        cpu_per_s: CPU seconds a second of audio, from the file to the text.
        english: Utterances whose language was taken for English.
    """

    engine: str
    corpus: str
    utterances: int
    words: int
    audio_s: float
    error_rate: float
    interval: tuple[float, float]
    cpu_per_s: float
    english: int


_HEAD = f"""
# Model card: speech 1.0

Speech to text. The models are OpenAI's Whisper (MIT), as the extra `speech` installs them; none was trained here.

| model | used for | sha256 of `model.bin` |
|---|---|---|
| {TINY_EN.name} | English | `{TINY_EN.sha256}` |
| {BASE.name} | every other language, and `auto` | `{BASE.sha256}` |

Both hashes are those of Systran/faster-whisper-tiny.en and Systran/faster-whisper-base. They run in 8-bit integers on a
CPU, greedily, one turn of speech at a time. **PocketSphinx** (BSD-2-Clause) takes their place only where faster-whisper
is not installed, and every result then says so.

## Measured

Written by `python -m processors.speech.evaluate`: each recording went through the processor, from its file to the text,
on one CPU thread. The same normaliser (Whisper's own, of transformers, without its table of British spellings) is
applied to the transcript and to the result. Intervals are 95 %, by bootstrap over utterances.
"""

_TAIL = """
- **Asterisk**: prompts of a telephone exchange (Debian `asterisk-core-sounds-en-wav` 1.6.1, CC-BY-SA-3.0): one woman's
  voice, a studio, 8 kHz; all prompts of five words and more without digits. Transcripts name keys by signs ("press #")
  that are spoken as words; these count as errors.
- **LibriVox**: five sentences of *Sense and Sensibility* read by a volunteer (Debian `pocketsphinx-testdata`). Seventy
  words are few: see the interval.

**What was chosen with these recordings in view**: the silence after a turn (10 s: in a first trial on a quarter of the
prompts, 5 s and 2.5 s gave more loops), and the rule that hears a turn again in two parts, which one prompt gave rise to
(without it the rate of tiny.en on Asterisk was 0.069). The weights were not. So these rates are not held out from those
two choices. A clip that was taken for another language was transcribed as that language; its words count as errors.

## Not measured

- **Korean, and every language but English.** Base is used, and no result was compared with a transcript: no recording of
  Korean speech with a licence to use it was found. Results say `measured: false` and a note names the language.
- Noise, music, several voices at once, accents, children, telephone lines other than the one above, long recordings.
- Models of your own (SPEECH_MODEL_DIR), and CUDA.
- Whether these recordings were in Whisper's training data is unknown; both are on the web. So the rates may be a little
  too good, and none of them is a promise for your audio.

## What it does with what it does not understand

A turn whose text repeats itself (zlib shrinks it by more than 2.4, Whisper's own threshold) is heard once more with no
three tokens twice; if that repeats itself too, its text is left out and a note gives its times. A turn has at most 220
tokens and a time limit. Silence gives an empty text: turns are found by Silero v6 before any text is made.
"""


def card(rows: list[ErrorRate]) -> str:
    lines = [
        "| engine | corpus | utterances | words | seconds | word error rate | CPU s per s of audio | taken for English |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row.engine} | {row.corpus} | {row.utterances} | {row.words:,} | {row.audio_s:.0f} "
            f"| **{row.error_rate:.3f}** ({row.interval[0]:.3f} to {row.interval[1]:.3f}) | {row.cpu_per_s:.2f} "
            f"| {row.english} |"
            for row in rows
        ),
    ]
    return "\n".join([textwrap.dedent(_HEAD).strip(), "", *lines, "", _TAIL.strip()]) + "\n"
