"""Finds the turns of speech in audio, with the voice activity model Silero v6 of faster-whisper's wheel.

Times are taken from here and not from Whisper, whose own segments are off by up to seconds.
"""

from __future__ import annotations

from itertools import pairwise

from processors.speech.audio import RATE, Samples

#: A pause shorter than this does not end a turn.
PAUSE_S = 0.5
#: Shorter sounds are no speech.
SHORTEST_S = 0.15
#: Whisper's window is 30 s; a longer turn is cut at its last short pause before this.
LONGEST_S = 28.0
#: A turn's sound may be cut at its edges, so the model hears this much more on both sides.
MARGIN_S = 0.2

Span = tuple[float, float]


def turns(samples: Samples, pause_s: float = PAUSE_S) -> list[Span]:
    """Return (start, end) of each turn of speech in seconds, in order and apart; none for silence. `pause_s` ends a turn."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        min_speech_duration_ms=int(SHORTEST_S * 1000),
        max_speech_duration_s=LONGEST_S,
        min_silence_duration_ms=round(pause_s * 1000),
        speech_pad_ms=0,
    )
    found = get_speech_timestamps(samples, options)
    return [(turn["start"] / RATE, turn["end"] / RATE) for turn in found]


def widened(spans: list[Span], duration_s: float) -> list[Span]:
    """Return the spans with a margin on both sides: at most half of the way to the next one, and within the audio."""
    if not spans:
        return []
    edges = [0.0, *((end + start) / 2 for (_, end), (start, _) in pairwise(spans)), duration_s]
    return [
        (max(low, start - MARGIN_S), min(high, end + MARGIN_S))
        for (start, end), (low, high) in zip(spans, pairwise(edges), strict=True)
    ]
