"""Decodes the audio of a file with PyAV (FFmpeg's libraries, in its wheel) to mono samples at 16 kHz.

Only containers of FORMATS are opened: FFmpeg knows playlists, too, which name other files and addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from schemas.errors import InvalidInput, JobCancelled, PayloadTooLarge

#: Samples: float32, mono, 16 kHz, within -1..1.
Samples = NDArray[np.float32]

RATE = 16_000
#: FFmpeg's names of the containers that are read.
FORMATS = "wav,w64,aiff,au,mp3,aac,flac,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,mpeg,mpegts,flv,asf,amr,caf"
#: A hole in the timestamps longer than this is filled with silence, so that times in the text are those of the file.
GAP_S = 0.1


def decode(path: Path, limit_s: float, cancelled: Callable[[], bool] = lambda: False) -> Samples:
    """Return the samples of the file's first audio track, at most `limit_s` seconds of them.

    Silence stands where the track begins late or has holes. Float audio that exceeds 1 is scaled down by its peak.

    Raises InvalidInput for a file that is empty, not audio or video, without an audio track, damaged, or with NaN or infinite
    samples; PayloadTooLarge for a longer one; JobCancelled.
    """
    if path.stat().st_size == 0:
        raise InvalidInput("The audio file is empty.", next_step="Send a file with an audio track.")
    pieces: list[Samples] = []
    count = 0
    try:
        for piece in _pieces(path):
            count += len(piece)
            if count > limit_s * RATE:
                raise PayloadTooLarge(
                    f"The audio is longer than {limit_s:g} s.",
                    next_step="Send it in parts, or raise the worker's limit.",
                )
            if cancelled():
                raise JobCancelled("The job was stopped while its audio was decoded.")
            pieces.append(piece)
    except (av.error.FFmpegError, ValueError) as error:
        raise InvalidInput(
            f"The file can't be decoded as audio: {_reason(error)}.", next_step="Send WAV, MP3, FLAC, Ogg, WebM or MP4."
        ) from error
    if count == 0:
        raise InvalidInput("The audio track has no samples.", next_step="Is the file complete?")
    return checked(np.concatenate(pieces))


def checked(samples: Samples) -> Samples:
    """Return samples within -1..1. Raises InvalidInput for NaN and infinite ones."""
    if not np.isfinite(samples).all():
        raise InvalidInput("The audio has samples that are NaN or infinite.", next_step="Export the file again.")
    peak = float(np.abs(samples).max(initial=0.0))
    return samples / np.float32(peak) if peak > 1.0 else samples


def pcm(samples: Samples) -> bytes:
    """Return samples as 16-bit PCM, little-endian."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def _pieces(path: Path) -> Iterator[Samples]:
    """Yield the track's samples, and silence for its holes."""
    with av.open(str(path), options={"format_whitelist": FORMATS}, metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise InvalidInput("The file has no audio track.", next_step="Send a file with sound.")
        resampler, form = _resampler(), None
        begin = (container.start_time or 0) / av.time_base
        done_s = 0.0
        for frame in _frames(container):
            hole = 0.0 if frame.time is None else frame.time - begin - done_s
            if hole > GAP_S:
                # Not more than an hour at once: `decode` has its own limit.
                yield np.zeros(int(min(hole, 3600.0) * RATE), dtype=np.float32)
                done_s += hole
            done_s += frame.samples / frame.sample_rate
            frame.pts = None  # the resampler would fill holes by itself, or refuse timestamps that jump back
            if form not in (None, now := (frame.format.name, frame.layout.name, frame.sample_rate)):
                # A track may change its form; a damaged frame often seems to. A resampler takes one form alone.
                yield from _resampled(resampler, None)
                resampler = _resampler()
            form = now
            yield from _resampled(resampler, frame)
        yield from _resampled(resampler, None)


def _resampler() -> av.AudioResampler:
    return av.AudioResampler(format="flt", layout="mono", rate=RATE)


def _resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[Samples]:
    """Yield the samples that a frame gives; None: those that the resampler still holds."""
    for resampled in resampler.resample(frame):
        yield resampled.to_ndarray().reshape(-1).astype(np.float32, copy=False)


def _frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """Yield the decoded frames; those that are damaged are left out."""
    # Packet by packet: `container.decode` yields nothing more once one of them is damaged.
    for packet in container.demux(audio=0):
        try:
            yield from packet.decode()
        except av.error.DecoderNotFoundError:
            raise
        except av.error.FFmpegError:
            continue  # some decoders have codes of their own for damaged data


def _reason(error: Exception) -> str:
    """Return FFmpeg's reason without the file's name."""
    return getattr(error, "strerror", None) or type(error).__name__
