"""The processor `speech`: decodes the audio, transcribes its turns one after another, and streams the text as it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from processors.speech.audio import RATE, Samples, decode
from processors.speech.contract import SpeechInput, SpeechOutput, SpeechSegment
from processors.speech.transcriber import SPEECH_OPTIONS, Transcriber, Transcript, load_transcriber
from processors.speech.turns import Span, turns
from schemas.errors import JobError

#: Longest audio in seconds that a job may have. With base on a CPU it takes about five minutes; `video` takes longer ones.
LONGEST_S = 1200.0
#: Digits of times in the output.
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class PreparedSpeech:
    """`spans`: (start, end) of each turn in seconds."""

    samples: Samples
    spans: list[Span]
    language: str
    ctx: JobContext


@dataclass(frozen=True, slots=True)
class Transcribed:
    transcript: Transcript
    duration_s: float


class Speech:
    name = "speech"
    version = "1.0"
    request = SpeechInput
    result = SpeechOutput
    options = SPEECH_OPTIONS
    # CTranslate2 uses several threads for one job, so jobs run one after another; the next one is decoded meanwhile.
    policy = Policy(batch=Batch(max_size=1), limits=Limits(soft_ms=600_000, hard_ms=900_000), in_flight=8, threads=1)
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        self.serve(load_transcriber(ctx))

    def serve(self, transcriber: Transcriber) -> None:
        """Use this transcriber."""
        self._transcriber = transcriber
        self.model_sha256 = transcriber.sha256

    def prepare(self, job: Job[SpeechInput], ctx: JobContext) -> PreparedSpeech:
        """Decode the audio and find its turns. Raises InvalidInput, PayloadTooLarge, JobCancelled."""
        self._transcriber.engine(job.input.language)
        ctx.progress("decoding")
        samples = decode(ctx.open(job.input.audio), LONGEST_S, ctx.cancelled)
        return PreparedSpeech(samples, turns(samples), job.input.language, ctx)

    def cost(self, item: PreparedSpeech) -> float:
        """Return the seconds of speech."""
        return sum(end - start for start, end in item.spans)

    def run(self, items: Sequence[PreparedSpeech]) -> Sequence[Transcribed | JobError]:
        return [self._transcribed(item) for item in items]

    def finish(self, job: Job[SpeechInput], raw: Transcribed, ctx: JobContext) -> SpeechOutput:
        found = raw.transcript
        return SpeechOutput(
            text=found.text,
            language=found.language,
            language_probability=found.language_probability,
            segments=[SpeechSegment(round(a, DECIMALS), round(b, DECIMALS), text) for a, b, text in found.segments],
            duration_s=round(raw.duration_s, DECIMALS),
            speech_s=round(found.speech_s, DECIMALS),
            model=found.model_version,
            model_sha256=found.model_sha256,
            measured=found.measured,
            device=found.device,
            fallback_reason=found.fallback_reason,
            notes=list(found.notes),
        )

    def _transcribed(self, item: PreparedSpeech) -> Transcribed | JobError:
        total = self.cost(item)
        done = 0.0

        def heard(start: float, end: float, text: str) -> None:
            nonlocal done
            done += end - start
            item.ctx.progress("transcribing", 100.0 * done / total)
            if text:
                item.ctx.stream_text(f"{text} ")

        try:
            transcript = self._transcriber.transcribe(
                item.samples, item.language, item.ctx.cancelled, spans=item.spans, on_segment=heard
            )
        except JobError as error:
            return error
        return Transcribed(transcript, len(item.samples) / RATE)
