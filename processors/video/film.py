"""Looks into a film: how long it is, and whether it has sound. Its content is proved by decoding, not by its name or type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import av.error

from processors.speech.audio import FORMATS
from schemas.errors import InvalidInput, PayloadTooLarge


@dataclass(frozen=True, slots=True)
class Film:
    """`duration_s`: as its container says; 0 if it does not."""

    duration_s: float
    has_sound: bool


def look_into(path: Path, limit_s: float) -> Film:
    """Open a film; one without sound must have a picture that can be decoded.

    Raises InvalidInput for a file that is no film, PayloadTooLarge for one longer than `limit_s`.
    """
    try:
        # As a file, never as an address; playlists, which name other files, are not among the formats.
        with av.open(f"file:{path}", options={"format_whitelist": FORMATS}, metadata_errors="ignore") as container:
            duration_s = (container.duration or 0) / av.time_base
            has_sound = bool(container.streams.audio)
            if not has_sound and next(iter(container.decode(video=0)), None) is None:
                raise InvalidInput("The film has neither sound nor a picture.", next_step="Is the file complete?")
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidInput(
            f"The file can't be read as a film: {reason}.", next_step="Send MP4, WebM, Matroska, QuickTime or AVI."
        ) from error
    if duration_s > limit_s:
        raise PayloadTooLarge(
            f"The film takes {duration_s:.0f} s; the limit is {limit_s:g} s.", next_step="VIDEO_MAX_S is the limit."
        )
    return Film(duration_s, has_sound)
