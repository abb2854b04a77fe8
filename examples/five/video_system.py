"""System 5: a film from `request-process` at the upload backend to its transcript by speaker."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw
from schemas.errors import SluiceError

import pictures
import summary
from front_end import FrontEnd
from summary import Shown

RATE, FRAMES_A_SECOND, SIZE = 16_000, 5, (320, 180)


def run(backend: str, home: Path) -> list[Shown]:
    """Make a film, ask the backend to process it, and follow its job."""
    front = FrontEnd("video", backend)
    film = home / "ai-services" / "films" / "talk.mp4"
    film.parent.mkdir(parents=True, exist_ok=True)
    spoken = _film(film)
    front.say(f"a film of {spoken} is uploaded")
    job = front.post("/api/upload-video/request-process", json={"fileKey": film.name, "language": "en"})
    found, states, seconds = front.follow(
        f"/api/upload-video/jobs/{job['job_id']}", _state, lambda row: row["state"] in ("COMPLETED", "FAILED")
    )
    result: dict[str, Any] = found["result"] or {}
    facts = result.get("metadata", {})
    said = (
        f"{facts.get('unique_speakers')} speakers, {facts.get('total_segments')} segments of {result.get('duration')} s:"
        f" {str(result.get('text', ''))[:90]}…"
    )
    ok = found["state"] == "COMPLETED"
    error = f"{found['error_code']}: {found['error_message']}"
    shown = Shown(summary.VIDEO, job["job_id"][:13], film.name, states, seconds, said if ok else error, ok, found)
    if ok:
        shown.pictures["video-speakers.png"] = pictures.speakers(result["segments"], float(result["duration"]))
    return [shown]


def _state(row: dict[str, Any]) -> str:
    return f"{row['state']} {row['progress']} %" if row["state"] == "PROCESSING" else str(row["state"])


def _film(path: Path) -> str:
    """Write a film with real speech; return what it is of."""
    samples, name = _speech()
    seconds = len(samples) / RATE
    with av.open(str(path), "w") as file:
        picture, sound = file.add_stream("h264", rate=FRAMES_A_SECOND), file.add_stream("aac", rate=RATE)
        picture.width, picture.height = SIZE
        picture.pix_fmt, sound.layout = "yuv420p", "mono"
        for number in range(int(seconds * FRAMES_A_SECOND)):
            file.mux(picture.encode(av.VideoFrame.from_image(_picture(number))))
        file.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE
        for part in (frame, None):
            file.mux(sound.encode(part))
    return f"{seconds:.0f} s, {name}"


def _speech() -> tuple[Any, str]:
    """Return samples at 16 kHz: a conversation of two people, or a sentence of one if it can't be downloaded."""
    from processors.artifacts import unpacked

    try:
        found = next(unpacked("pyannote-audio").rglob("sample.wav"))
        with wave.open(str(found)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), np.int16), "two people"
    except SluiceError:
        from processors.speech.audio import decode

        flac = Path(__file__).resolve().parents[2] / "tests" / "data" / "speech" / "amiable.flac"
        return (decode(flac, 60.0) * 32767).astype(np.int16), "one sentence"


def _picture(number: int) -> Image.Image:
    made = Image.new("RGB", SIZE, (24, 34, 52))
    draw = ImageDraw.Draw(made)
    place = (number * 7) % SIZE[0]
    draw.ellipse((place - 20, 70, place + 20, 110), fill=(255, 140, 0))
    draw.text((8, 8), f"{number / FRAMES_A_SECOND:.1f} s", fill=(255, 255, 255))
    return made
