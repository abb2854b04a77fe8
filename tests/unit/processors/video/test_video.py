"""A film becomes text by speaker; one without sound or speech is a result too, and each error has its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processors.local import LocalJobContext, LocalLoadContext, claim_of, run_one
from processors.speech.audio import Samples
from processors.speech.recogniser import Heard, Recogniser
from processors.speech.transcriber import Transcriber
from processors.video import processor as processor_module
from processors.video.contract import VIDEO, VideoInput, VideoOutput
from processors.video.films import write_film
from processors.video.processor import Video
from processors.video.progress import VideoStage, report
from schemas.errors import ConnectionFailed, InvalidInput, JobCancelled, JobError, PayloadTooLarge, StartupError
from schemas.states import Custody
from streams.testing import Flow, run_processor
from tests.unit.processors.video.film_server import Answer, serving

TURNS = [(0.2, 1.4), (2.0, 3.0), (4.0, 4.4)]


class Parrot:
    """A recogniser that says how long a turn was; it hears nothing in one below half a second."""

    def __init__(self) -> None:
        self.name, self.sha256, self.device = "parrot", "0" * 64, "cpu"
        self.fallback_reason: str | None = None
        self.languages = frozenset({"en", "ko"})

    def detect(self, samples: Samples) -> tuple[str, float]:
        return "ko", 0.9

    def hear(self, samples: Samples, language: str, limit_s: float, cancelled: Callable[[], bool]) -> Heard:
        if cancelled():
            raise JobCancelled("Stopped.")
        return Heard("" if len(samples) < 14_000 else f"{language} {len(samples) // 16_000}")


def parrot() -> Recogniser:
    return Parrot()


class Reports(LocalJobContext):
    """Keeps (stage, percent) of each report."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reports: list[tuple[str, float | None]] = []

    def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
        self.reports.append((stage, percent))


@pytest.fixture(autouse=True)
def _parrot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_module, "load_transcriber", lambda ctx: Transcriber(parrot, parrot))


@pytest.fixture
def _speech(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_module, "turns", lambda samples, pause_s: TURNS)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.05, 5 * 16_000).astype(np.float32)
    return write_film(tmp_path_factory.mktemp("film") / "a.mp4", noise)


def of(path: Path, **more: Any) -> VideoInput:
    return VideoInput(video=claim_of(path, "video/mp4"), **more)


def video(given: VideoInput, **options: str) -> VideoOutput:
    found = run_processor(Video, given, options=options)
    assert isinstance(found, VideoOutput)
    return found


def fails(given: VideoInput, **options: str) -> JobError:
    with pytest.raises(JobError) as caught:
        video(given, **options)
    return caught.value


@pytest.mark.usefixtures("_speech")
def test_a_film_by_its_address_becomes_text_by_speaker(film: Path) -> None:
    with serving({"/a.mp4": Answer(pieces=(film.read_bytes(),))}) as films:
        found = video(VideoInput(f"{films.url}/a.mp4", emotion_detection=True), VIDEO_ALLOW="127.0.0.1")
    assert [(each.start, each.end) for each in found.segments] == TURNS[:2]  # nothing was said in the third
    assert found.text == "ko 1 ko 1" == " ".join(each.text for each in found.segments)
    assert {each.speaker for each in found.segments} == {"SPEAKER_00"}
    assert found.language == "ko"
    assert found.duration == pytest.approx(5.0, abs=0.3)
    assert (found.metadata.unique_speakers, found.metadata.total_segments) == (1, 2)
    assert found.metadata.processing_time > 0
    assert found.metadata.model_version.startswith("1.0 (parrot")
    assert found.emotion == "not available"
    assert any("Emotion" in note for note in found.notes)


@pytest.mark.usefixtures("_speech")
def test_stages_are_reported_in_order_and_percent_never_falls(film: Path, tmp_path: Path) -> None:
    made = Video()
    made.load(processor_context())
    context = Reports(tmp_path)
    run_one(made, of(film), tmp_path, context)
    stages = list(dict.fromkeys(stage for stage, _ in context.reports))
    assert stages == [stage.value for stage in VideoStage]
    percents = [percent for _, percent in context.reports if percent is not None]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0.0, 99.0)
    assert "".join(context.texts) == "ko 1 ko 1 "


def test_a_film_without_sound_is_a_result_that_says_so(tmp_path: Path) -> None:
    found = video(of(write_film(tmp_path / "a.mp4", None, 4.0)))
    assert (found.text, found.segments, found.language) == ("", [], "")
    assert found.duration == pytest.approx(4.0, abs=0.3)
    assert found.notes == ["The film has no audio track."]


def test_a_film_without_speech_is_a_result_that_says_so(film: Path) -> None:
    found = video(of(film))
    assert found.segments == []
    assert "The film has no speech." in found.notes


def test_a_film_of_301_seconds_completes(tmp_path: Path) -> None:
    found = video(of(write_film(tmp_path / "a.mp4", np.zeros(301 * 16_000, np.float32))))
    assert found.duration == pytest.approx(301.0, abs=0.3)


def test_a_broken_file_and_a_text_file_are_refused(film: Path, tmp_path: Path) -> None:
    (tmp_path / "half.mp4").write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    (tmp_path / "text.mp4").write_text("no film")
    for name in ("half.mp4", "list.mp4", "text.mp4"):
        error = fails(of(tmp_path / name))
        assert isinstance(error, InvalidInput), name
        assert "film" in str(error)


def test_a_film_over_the_limits_is_refused(film: Path) -> None:
    assert isinstance(fails(of(film), VIDEO_MAX_S="2"), PayloadTooLarge)
    assert isinstance(fails(of(film), VIDEO_MAX_MIB="0.001"), PayloadTooLarge)


def test_a_language_that_the_model_lacks_is_refused_before_the_film_is_fetched() -> None:
    error = fails(VideoInput("http://127.0.0.1:1/a.mp4", language="fr"), VIDEO_ALLOW="localhost")
    assert isinstance(error, InvalidInput)
    assert "fr" in str(error)


def test_a_film_that_can_t_be_fetched_is_a_connection_error() -> None:
    assert isinstance(fails(VideoInput("http://127.0.0.1:1/a.mp4")), ConnectionFailed)


def test_a_job_names_one_film(film: Path) -> None:
    assert isinstance(fails(VideoInput()), InvalidInput)
    assert isinstance(fails(VideoInput("http://example.org/a", claim_of(film))), InvalidInput)


def test_an_option_that_is_no_positive_number_stops_the_start() -> None:
    for value in ("0", "-1", "soon", "inf", "nan"):
        with pytest.raises(StartupError, match="VIDEO_DEADLINE_S"):
            run_processor(Video, VideoInput("http://example.org/a"), options={"VIDEO_DEADLINE_S": value})


@pytest.fixture
def flow(film: Path) -> Iterator[Flow]:
    """A flow of the processor by offset: flows have no leases."""

    class ByOffset(Video):
        __module__ = Video.__module__  # beside whose file the weights are
        policy = replace(Video.policy, custody=Custody.OFFSET)

    contract = replace(VIDEO, custody=Custody.OFFSET.value)
    with Flow(ByOffset, contract=contract, options={"VIDEO_DEADLINE_S": "0.001", "VIDEO_ALLOW": "localhost"}) as flow:
        yield flow


def test_a_job_past_its_processing_deadline_fails_with_timeout_error_and_is_not_tried_again(
    film: Path, flow: Flow
) -> None:
    with serving({"/a.mp4": Answer(pieces=(film.read_bytes(),))}) as films:
        job_id = flow.submit("video", {"video_url": f"{films.url}/a.mp4"}, max_attempts=3)
        flow.settle()
    job = flow.job(job_id)
    assert job.error is not None
    assert (job.state, job.error.code, job.attempt) == ("FAILED", "TIMEOUT_ERROR", 1)


def test_the_policy_has_the_deadline_as_its_limits() -> None:
    made = Video()
    made.load(processor_context(VIDEO_DEADLINE_S="90"))
    assert (made.policy.limits.soft_ms, made.policy.limits.hard_ms) == (90_000, 150_000)


def test_reports_beyond_a_stage_stay_within_it(tmp_path: Path) -> None:
    context = Reports(tmp_path)
    for done in (-1.0, 0.5, 7.0):
        report(context, VideoStage.DOWNLOADING, done)
    assert [percent for _, percent in context.reports] == [0.0, 10.0, 20.0]


def processor_context(**options: str) -> Any:
    return LocalLoadContext(Video, options=options)
