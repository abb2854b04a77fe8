"""Input and output of `video`. Programs that submit jobs import this module, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.records import Claim
from schemas.states import Custody


@dataclass(frozen=True, slots=True)
class VideoInput:
    """A film by its address or by a claim check; exactly one of the two.

    Attributes:
        video_url: http or https. The worker fetches it, from public addresses and those that its option VIDEO_ALLOW names.
        video: The film as a stored file.
        language: auto, or an ISO 639-1 code. `auto` detects it. A language that the model lacks is refused.
        emotion_detection: Accepted for old clients. No emotion is ever detected, and the output says so.
    """

    video_url: str | None = None
    video: Claim | None = None
    language: str = "auto"
    emotion_detection: bool = False


@dataclass(frozen=True, slots=True)
class VideoSegment:
    """A stretch of speech of one speaker. `start`, `end`: seconds from the film's beginning. `speaker`: SPEAKER_00 for the
    first voice that is heard, then SPEAKER_01 and so on."""

    start: float
    end: float
    text: str
    speaker: str


@dataclass(frozen=True, slots=True)
class VideoMetadata:
    """`model_version`: of the processor and its speech model. `processing_time`: seconds, download included."""

    model_version: str
    processing_time: float
    unique_speakers: int
    total_segments: int


@dataclass(frozen=True, slots=True)
class VideoOutput:
    """The first five fields are the `result` of the callback that the upload backend knows.

    Attributes:
        text: All segments' texts, joined by spaces.
        segments: In the order of their start.
        language: As asked for or detected, an ISO 639-1 code; "" if it was to be detected and nothing is spoken.
        duration: Seconds of film.
        metadata: Model and counts.
        emotion: Always "not available": no model for it ships.
        notes: Sentences about what the reader should know, such as a film without sound.
        device: "cpu" or "cuda:N", where the speech model ran.
    """

    text: str
    segments: list[VideoSegment]
    language: str
    duration: float
    metadata: VideoMetadata
    emotion: str
    notes: list[str]
    device: str


#: `VideoOutput.emotion`.
NOT_AVAILABLE = "not available"

VIDEO: ProcessorContract[VideoInput, VideoOutput] = ProcessorContract(
    "video", VideoInput, VideoOutput, Path(__file__).parent / "avro", Custody.LEASE.value
)
