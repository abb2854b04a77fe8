"""Puts a job's output together."""

from __future__ import annotations

from collections.abc import Sequence

from processors.speech.transcriber import Transcript
from processors.video.contract import NOT_AVAILABLE, VideoMetadata, VideoOutput, VideoSegment
from processors.video.speakers import Segment

#: Digits of times.
DECIMALS = 3
#: Seconds by which the sound may end before the picture without a note.
SOUND_MISSING_S = 2.0


def output_of(
    segments: Sequence[Segment],
    transcript: Transcript,
    *,
    version: str,
    duration_s: float,
    sound_s: float | None,
    processing_s: float,
    emotion_wanted: bool,
) -> VideoOutput:
    """Return the output. `sound_s`: seconds of sound; None: the film has no audio track.

    Segments without text are left out: what is no word is noise or music. Speakers are numbered in order of appearance.
    """
    speakers = {segment.start: segment.speaker for segment in segments}
    numbers: dict[int, int] = {}
    spoken = []
    for start, end, text in transcript.segments:
        number = numbers.setdefault(speakers[start], len(numbers))
        spoken.append(VideoSegment(round(start, DECIMALS), round(end, DECIMALS), text, f"SPEAKER_{number:02d}"))
    notes = [*_sound(sound_s, duration_s, len(segments)), *transcript.notes]
    if transcript.fallback_reason:
        notes.append(f"The speech model runs on another device or is another one: {transcript.fallback_reason}.")
    if emotion_wanted:
        notes.append("Emotion is not available: there is no model for it.")
    return VideoOutput(
        text=transcript.text,
        segments=spoken,
        language=transcript.language,
        duration=round(duration_s, DECIMALS),
        metadata=VideoMetadata(
            model_version=f"{version} ({transcript.model_version}, silero-v6, resemblyzer-0.1.4)",
            processing_time=round(processing_s, DECIMALS),
            unique_speakers=len(numbers),
            total_segments=len(spoken),
        ),
        emotion=NOT_AVAILABLE,
        notes=notes,
        device=transcript.device,
    )


def _sound(sound_s: float | None, duration_s: float, segments: int) -> list[str]:
    if sound_s is None:
        return ["The film has no audio track."]
    notes = [] if segments else ["The film has no speech."]
    if duration_s - sound_s > SOUND_MISSING_S:
        notes.append(f"The sound ends at {sound_s:.1f} s of {duration_s:.1f} s.")
    return notes
