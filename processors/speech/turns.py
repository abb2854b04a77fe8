"""Finds the turns of speech in audio, with the voice activity model Silero v6 of faster-whisper's wheel.

Where that is not installed, PocketSphinx's end-pointer takes its place. Times are taken from here and not from Whisper, whose
own segments are off by up to seconds.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise

from processors.speech.audio import RATE, Samples, pcm

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
    return endpointed(samples) if find_spec("faster_whisper") is None else _detected(samples, pause_s)


def _detected(samples: Samples, pause_s: float) -> list[Span]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        min_speech_duration_ms=int(SHORTEST_S * 1000),
        max_speech_duration_s=LONGEST_S,
        min_silence_duration_ms=round(pause_s * 1000),
        speech_pad_ms=0,
    )
    found = get_speech_timestamps(samples, options)
    return [(turn["start"] / RATE, turn["end"] / RATE) for turn in found]


def endpointed(samples: Samples) -> list[Span]:
    """Return the turns by PocketSphinx's end-pointer, which has a pause of its own; see `turns`."""
    import pocketsphinx

    endpointer = pocketsphinx.Endpointer(sample_rate=RATE)
    raw, size = pcm(samples), endpointer.frame_bytes
    spans = []
    for at in range(0, len(raw), size):
        frame = raw[at : at + size]
        speech = endpointer.process(frame) if at + size < len(raw) else endpointer.end_stream(frame)
        if speech is not None and not endpointer.in_speech:
            spans.append((endpointer.speech_start, min(endpointer.speech_end, len(samples) / RATE)))
    return [(start, end) for start, end in spans if end - start > SHORTEST_S]


def widened(spans: list[Span], duration_s: float) -> list[Span]:
    """Return the spans with a margin on both sides: at most half of the way to the next one, and within the audio."""
    if not spans:
        return []
    edges = [0.0, *((end + start) / 2 for (_, end), (start, _) in pairwise(spans)), duration_s]
    return [
        (max(low, start - MARGIN_S), min(high, end + MARGIN_S))
        for (start, end), (low, high) in zip(spans, pairwise(edges), strict=True)
    ]
