"""Audio files are decoded to 16 kHz, and refused with a reason; turns of speech are found in them. No model is loaded."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from processors.speech.audio import RATE, decode
from processors.speech.turns import endpointed, turns, widened
from schemas.errors import InvalidInput, JobCancelled, PayloadTooLarge
from tests.unit.processors.speech.recordings import CLIP, write_wav

LIMIT_S = 60.0


def tone(seconds: float, rate: int = RATE) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (0.5 * np.sin(2 * np.pi * 440.0 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def test_another_rate_becomes_16_khz(tmp_path: Path) -> None:
    samples = decode(write_wav(tmp_path / "a.wav", tone(1.0, 8000), 8000), LIMIT_S)
    assert samples.dtype == np.float32
    assert abs(len(samples) - RATE) < 50
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


def test_too_loud_float_audio_is_scaled_down(tmp_path: Path) -> None:
    samples = decode(write_wav(tmp_path / "a.wav", 4.0 * tone(0.1)), LIMIT_S)
    assert np.abs(samples).max() == pytest.approx(1.0)


def test_a_track_that_begins_late_has_silence_before_it(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width = video.height = 16
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        picture = av.VideoFrame(16, 16, "yuv420p")
        picture.pts = 0
        container.mux(video.encode(picture))
        frame = av.AudioFrame.from_ndarray((tone(1.0) * 32767).astype(np.int16).reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts = RATE, 2 * RATE
        container.mux(sound.encode(frame))
        container.mux([*video.encode(None), *sound.encode(None)])
    samples = decode(path, LIMIT_S)
    assert len(samples) / RATE == pytest.approx(3.0, abs=0.05)
    assert np.abs(samples[: int(1.9 * RATE)]).max() == 0.0


def test_a_file_that_is_no_audio_is_refused_with_the_reason(tmp_path: Path) -> None:
    empty, text, cut = tmp_path / "empty.wav", tmp_path / "a.txt", tmp_path / "cut.flac"
    empty.touch()
    text.write_text("not audio " * 100)
    cut.write_bytes(CLIP.read_bytes()[:40])
    for path, reason in ((empty, "is empty"), (text, "can't be decoded"), (cut, "can't be decoded|no samples")):
        with pytest.raises(InvalidInput, match=reason) as caught:
            decode(path, LIMIT_S)
        assert path.name not in str(caught.value)  # file names are personal data


@pytest.mark.parametrize(("form", "codec"), [("mp3", "mp3"), ("adts", "aac"), ("matroska", "flac")])
def test_audio_after_a_damaged_part_is_read(form: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    with av.open(str(path), "w", format=form) as container:
        track = container.add_stream(codec, rate=RATE, layout="mono")
        assert isinstance(track, av.AudioStream)
        for begin in range(10):
            frame = av.AudioFrame.from_ndarray((tone(1.0) * 32767).astype(np.int16).reshape(1, -1), "s16", "mono")
            frame.sample_rate, frame.pts = RATE, begin * RATE
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 4, len(content) // 2, 997):
        content[place] ^= 0xFF
    path.write_bytes(content)
    samples = decode(path, LIMIT_S)
    assert np.abs(samples[-2 * RATE : -RATE]).max() > 0.3
    assert len(samples) > 5 * RATE


def test_samples_that_are_nan_are_refused(tmp_path: Path) -> None:
    samples = tone(0.1)
    samples[7] = np.nan
    with pytest.raises(InvalidInput, match="NaN"):
        decode(write_wav(tmp_path / "nan.wav", samples), LIMIT_S)


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        container.mux([*stream.encode(av.VideoFrame(16, 16, "yuv420p")), *stream.encode(None)])
    with pytest.raises(InvalidInput, match="no audio track"):
        decode(path, LIMIT_S)


def test_audio_above_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PayloadTooLarge, match="longer than 2 s"):
        decode(CLIP, 2.0)


def test_decoding_stops_with_its_job(tmp_path: Path) -> None:
    with pytest.raises(JobCancelled):
        decode(CLIP, LIMIT_S, lambda: True)


def test_a_playlist_reads_no_other_file(tmp_path: Path) -> None:
    write_wav(tmp_path / "secret.wav", tone(1.0))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n")
    concat = tmp_path / "list.ffconcat"
    concat.write_text("ffconcat version 1.0\nfile secret.wav\n")
    for path in (playlist, concat):
        with pytest.raises(InvalidInput, match="can't be decoded"):
            decode(path, LIMIT_S)


@pytest.mark.parametrize("find", [turns, endpointed])
def test_turns_are_found_between_silences(find: object) -> None:
    assert callable(find)
    clip, pause = decode(CLIP, LIMIT_S), np.zeros(2 * RATE, np.float32)
    first, second = find(np.concatenate([pause, clip, pause, clip, pause]))
    length = len(clip) / RATE
    for (start, end), begin in ((first, 2.0), (second, 4.0 + length)):
        assert begin - 0.1 < start < begin + 0.5
        assert begin + length - 0.7 < end < begin + length + 0.4
    assert find(pause) == []


def test_a_turns_margin_ends_half_way_to_the_next() -> None:
    assert widened([(0.1, 1.0), (1.2, 2.0)], 2.1) == [(0.0, 1.1), (1.1, 2.1)]
    assert widened([], 1.0) == []
