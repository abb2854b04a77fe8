"""The stages of a job in their order, and the part of the whole that each takes."""

from __future__ import annotations

from enum import StrEnum

from processors.protocol import JobContext


class VideoStage(StrEnum):
    DOWNLOADING = "downloading"
    DECODING = "decoding"
    TURNS = "finding speech"
    SPEAKERS = "telling speakers apart"
    TRANSCRIBING = "transcribing"


#: Percent of the job at which a stage begins.
_BEGINS = {
    VideoStage.DOWNLOADING: 0.0,
    VideoStage.DECODING: 20.0,
    VideoStage.TURNS: 25.0,
    VideoStage.SPEAKERS: 30.0,
    VideoStage.TRANSCRIBING: 40.0,
}
_ENDS = dict(zip(_BEGINS, [*list(_BEGINS.values())[1:], 99.0], strict=True))


def report(ctx: JobContext, stage: VideoStage, done: float = 0.0) -> None:
    """Report that a part `done` (0..1) of a stage is done."""
    begins, ends = _BEGINS[stage], _ENDS[stage]
    ctx.progress(stage.value, round(begins + (ends - begins) * min(max(done, 0.0), 1.0), 1))
