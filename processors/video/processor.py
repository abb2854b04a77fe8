"""The processor `video`: fetches a film, finds who speaks when, and transcribes each stretch of speech."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from processors.policy import Batch, Limits, Policy, Retry
from processors.protocol import Job, JobContext, LoadContext
from processors.speech.audio import RATE, Samples, decode
from processors.speech.transcriber import SPEECH_OPTIONS, Transcript, load_transcriber
from processors.speech.turns import turns
from processors.video.contract import VideoInput, VideoOutput
from processors.video.download import Downloader
from processors.video.film import Film, look_into
from processors.video.progress import VideoStage, report
from processors.video.result import output_of
from processors.video.speakers import PAUSE_IN_TURN_S, Segment, Span, tell_apart
from processors.video.voices import WEIGHTS_NAME, WEIGHTS_SHA256, Voices
from schemas.addresses import AllowRules
from schemas.errors import ErrorCode, InvalidInput, JobCancelled, JobError, PayloadTooLarge, StartupError
from schemas.states import Custody

#: Milliseconds after the processing deadline until the process of a job that did not stop is killed.
GRACE_MS = 60_000


@dataclass(frozen=True, slots=True)
class PreparedFilm:
    """`began`: when the job started, on the clock of `time.monotonic`. `turns`: of speech, in seconds."""

    began: float
    film: Film
    samples: Samples
    turns: list[Span]
    job: VideoInput
    ctx: JobContext


@dataclass(frozen=True, slots=True)
class TranscribedFilm:
    item: PreparedFilm
    segments: list[Segment]
    transcript: Transcript


class Video:
    name = "video"
    version = "1.0"
    request = VideoInput
    result = VideoOutput
    #: VIDEO_ALLOW: hosts and networks that films may come from besides public addresses; default: none. VIDEO_DEADLINE_S:
    #: seconds of processing, download included, after which a job fails with TIMEOUT_ERROR; default 3600. VIDEO_DOWNLOAD_S:
    #: seconds for the download; default 600. VIDEO_MAX_MIB: largest film; default 2048. VIDEO_MAX_S: longest one; default 7200.
    options = ("VIDEO_ALLOW", "VIDEO_DEADLINE_S", "VIDEO_DOWNLOAD_S", "VIDEO_MAX_MIB", "VIDEO_MAX_S", *SPEECH_OPTIONS)
    # A job that took its whole time would take it again.
    policy = Policy(
        custody=Custody.LEASE,
        batch=Batch(max_size=1),
        retry=Retry(base_s=5.0, max_s=120.0, never=frozenset({ErrorCode.TIMEOUT_ERROR})),
    )
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        deadline_ms = int(_number(ctx, "VIDEO_DEADLINE_S", 3600.0) * 1000)
        self.policy = replace(self.policy, limits=Limits(soft_ms=deadline_ms, hard_ms=deadline_ms + GRACE_MS))
        self._max_s = _number(ctx, "VIDEO_MAX_S", 7200.0)
        self._downloader = Downloader(
            rules=AllowRules.parse(ctx.option("VIDEO_ALLOW"), "VIDEO_ALLOW"),
            max_bytes=int(_number(ctx, "VIDEO_MAX_MIB", 2048.0) * (1 << 20)),
            limit_s=_number(ctx, "VIDEO_DOWNLOAD_S", 600.0),
        )
        self.voices = Voices(ctx.weights(WEIGHTS_NAME, WEIGHTS_SHA256), ctx.device)
        self._transcriber = load_transcriber(ctx)
        self.model_sha256 = self._transcriber.sha256

    def warm_up(self) -> None:
        self.voices.embed([np.zeros(RATE, np.float32)])

    def prepare(self, job: Job[VideoInput], ctx: JobContext) -> PreparedFilm:
        """Fetch the film and find the turns of speech. Raises InvalidInput, PayloadTooLarge, ConnectionFailed, JobCancelled."""
        began = time.monotonic()
        self._transcriber.engine(job.input.language)  # refuses a language that the model lacks
        path = self._fetched(job.input, ctx)
        report(ctx, VideoStage.DECODING)
        film = look_into(path, self._max_s)
        samples = decode(path, self._max_s, ctx.cancelled) if film.has_sound else np.zeros(0, np.float32)
        report(ctx, VideoStage.TURNS)
        _stop_if(ctx)
        found = turns(samples, PAUSE_IN_TURN_S) if len(samples) else []
        return PreparedFilm(began, film, samples, found, job.input, ctx)

    def cost(self, item: PreparedFilm) -> float:
        """Return the seconds of speech."""
        return sum(end - start for start, end in item.turns)

    def run(self, items: Sequence[PreparedFilm]) -> Sequence[TranscribedFilm | JobError]:
        return [self._transcribed(item) for item in items]

    def finish(self, job: Job[VideoInput], raw: TranscribedFilm, ctx: JobContext) -> VideoOutput:
        item = raw.item
        duration_s = max(item.film.duration_s, len(item.samples) / RATE)
        return output_of(
            raw.segments,
            raw.transcript,
            version=self.version,
            duration_s=duration_s,
            sound_s=len(item.samples) / RATE if item.film.has_sound else None,
            processing_s=time.monotonic() - item.began,
            emotion_wanted=job.input.emotion_detection,
        )

    def _fetched(self, given: VideoInput, ctx: JobContext) -> Path:
        if (given.video_url is None) == (given.video is None):
            raise InvalidInput(
                "A job names either the address of a film or a stored file.",
                next_step="Give video_url or video, not both.",
            )
        report(ctx, VideoStage.DOWNLOADING)
        if given.video is not None:
            if given.video.size > self._downloader.max_bytes:
                raise PayloadTooLarge("The film is larger than the limit.", next_step="VIDEO_MAX_MIB is the limit.")
            return ctx.open(given.video)
        path = ctx.scratch() / "film"

        def arrived(done: int, total: int | None) -> None:
            report(ctx, VideoStage.DOWNLOADING, done / total if total else 0.0)

        assert given.video_url is not None
        self._downloader.fetch(given.video_url, path, ctx.cancelled, arrived)
        return path

    def _transcribed(self, item: PreparedFilm) -> TranscribedFilm | JobError:
        ctx = item.ctx
        try:
            report(ctx, VideoStage.SPEAKERS)
            found = tell_apart(self.voices, item.samples, item.turns, lambda: _stop_if(ctx))
            total, done = sum(segment.end - segment.start for segment in found), 0.0

            def heard(start: float, end: float, text: str) -> None:
                nonlocal done
                done += end - start
                report(ctx, VideoStage.TRANSCRIBING, done / total)
                if text:
                    ctx.stream_text(f"{text} ")

            report(ctx, VideoStage.TRANSCRIBING)
            spans = [(segment.start, segment.end) for segment in found]
            transcript = self._transcriber.transcribe(
                item.samples, item.job.language, ctx.cancelled, spans=spans, on_segment=heard
            )
        except JobError as error:
            return error
        return TranscribedFilm(item, found, transcript)


def _stop_if(ctx: JobContext) -> None:
    """Raise JobCancelled if the job should stop."""
    if ctx.cancelled():
        raise JobCancelled("Stopped on request.")


def _number(ctx: LoadContext, name: str, default: float) -> float:
    """Return an option that is a positive number. Raises StartupError."""
    try:
        value = float(ctx.option(name, str(default)))
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise StartupError(f"{name} is no positive number.", next_step=f"Unset it for the default, {default:g}.")
    return value
