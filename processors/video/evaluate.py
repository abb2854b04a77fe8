"""Measure turns of speech and speakers, and write the model card: `python -m processors.video.evaluate`.

Films are made from recordings (films.py), written as MP4 with H.264 and AAC, and read as the worker reads them. The real
conversation is the sample of pyannote-audio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from processors.artifacts import unpacked
from processors.local import claim_of, loaded, run_one
from processors.speech.audio import RATE, Samples, decode
from processors.speech.turns import turns
from processors.video.card import CARD, DialogueScores, Real, card
from processors.video.contract import VideoInput
from processors.video.films import NARROW, WIDE, Dialogue, dialogue, recordings, write_film
from processors.video.processor import Video
from processors.video.scores import DiarisationError, boundary_errors, diarisation_error
from processors.video.speakers import PAUSE_IN_TURN_S, Segment, Span, tell_apart
from processors.video.voices import Voices

DIALOGUES, FIRST_SEED = 18, 2000
#: Speakers of the dialogues, in turns.
SPEAKERS = (1, 2, 3)
LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class MeasuredDialogue:
    """A dialogue and what was found in it. `starts`, `ends`: errors of its turns in seconds."""

    speakers: int
    found: int
    error: DiarisationError
    starts: list[float]
    ends: list[float]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    processor = loaded(Video)
    voices: Voices = processor.voices
    wide = scored(measure(voices, dialogues(WIDE, DIALOGUES)))
    narrow = scored(measure(voices, dialogues(NARROW, DIALOGUES)))
    CARD.write_text(card(wide, narrow, measure_real(voices), cpu_per_second(processor)), encoding="utf-8")


def dialogues(sources: dict[str, tuple[str, str, str]], count: int) -> list[Dialogue]:
    """Make dialogues of the voices. The first ones are the same whatever `count`."""
    clips = recordings(sources)
    return [dialogue(clips, SPEAKERS[i % len(SPEAKERS)], FIRST_SEED + i) for i in range(count)]


def measure(voices: Voices, made: Iterable[Dialogue]) -> list[MeasuredDialogue]:
    """Make a film of each dialogue, and compare what is found in it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        return [_measured(voices, each, decode(write_film(path, each.samples), LIMIT_S)) for each in made]


def _measured(voices: Voices, made: Dialogue, samples: Samples) -> MeasuredDialogue:
    spans, segments = listen(voices, samples)
    starts, ends = boundary_errors([(turn.start, turn.end) for turn in made.turns], spans)
    truth = [(turn.start, turn.end, turn.speaker) for turn in made.turns]
    return MeasuredDialogue(made.speakers, _speakers(segments), _error(truth, segments), starts, ends)


def measure_real(voices: Voices) -> Real:
    """Compare with the sample of pyannote-audio: 30 s of two people."""
    folder = unpacked("pyannote-audio") / "pyannote/audio/sample"
    _, segments = listen(voices, decode(folder / "sample.wav", LIMIT_S))
    rows = [line.split() for line in (folder / "sample.rttm").read_text().splitlines()]
    truth = [(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]
    return Real(_error(truth, segments), _speakers(segments))


def listen(voices: Voices, samples: Samples) -> tuple[list[Span], list[Segment]]:
    """Return the turns of speech, and who speaks when, as the processor finds them."""
    found = turns(samples, PAUSE_IN_TURN_S)
    return found, tell_apart(voices, samples, found)


def cpu_per_second(processor: Video) -> float:
    """Return the CPU seconds of a whole job for a second of film."""
    (made,) = dialogues({"Allison": WIDE["Allison"], "Carlo": WIDE["Carlo"]}, 2)[1:]
    with TemporaryDirectory() as folder:
        film = write_film(Path(folder) / "film.mp4", made.samples)
        began = time.process_time()
        run_one(processor, VideoInput(video=claim_of(film, "video/mp4"), language="en"), Path(folder))
        return (time.process_time() - began) / (len(made.samples) / RATE)


def scored(measured: Sequence[MeasuredDialogue]) -> DialogueScores:
    """Sum up. The interval is 95 %, by bootstrap over dialogues."""
    starts = [error for each in measured for error in each.starts]
    ends = [error for each in measured for error in each.ends]
    errors = np.array([each.error.total for each in measured])
    chance = np.random.default_rng(0)
    means = [chance.choice(errors, len(errors)).mean() for _ in range(2000)]
    low, high = np.quantile(means, (0.025, 0.975))
    return DialogueScores(
        dialogues=len(measured),
        right=sum(each.found == each.speakers for each in measured),
        error=float(errors.mean()),
        interval=(float(low), float(high)),
        confused=float(np.mean([each.error.confused for each in measured])),
        turns=len(starts),
        start_p95=float(np.quantile(starts, 0.95)),
        end_p95=float(np.quantile(ends, 0.95)),
    )


def _speakers(segments: Sequence[Segment]) -> int:
    return len({segment.speaker for segment in segments})


def _error(truth: Sequence[tuple[float, float, str]], segments: Sequence[Segment]) -> DiarisationError:
    return diarisation_error(truth, [(each.start, each.end, each.speaker) for each in segments])


if __name__ == "__main__":
    main()
