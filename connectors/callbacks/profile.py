"""Callback profiles: what a backend is called with, instead of the standard event. Data; `profile_file.py` reads it.

A job's profile is the one that its header names, else the one of its processor, else the one of its destination.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from connectors.callbacks.resolve import destination_of
from connectors.callbacks.template import Path, Template
from schemas.errors import InvalidInput


class Moment(StrEnum):
    """When a backend is called. A failure is any end but COMPLETED."""

    SUCCESS = "success"
    FAILURE = "failure"
    PROGRESS = "progress"
    BATCH = "batch"


class Format(StrEnum):
    """`STANDARD`: the standard event. `NONE`: no callback."""

    STANDARD = "standard"
    JSON = "json"
    MULTIPART = "multipart"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a multipart body: the field's name, the path to its claim, and the file's name."""

    name: str
    path: Path
    filename: str


@dataclass(frozen=True, slots=True)
class Message:
    """The callback that is sent at one moment. `timeout_s`: None means the destination's limit, or SLUICE_CALLBACK_TIMEOUT_S.

    `path` is appended to the path of the callback URL. `body_part`: the form field of a multipart body that holds `body`."""

    format: Format
    body: Template | None = None
    files: tuple[FilePart, ...] = ()
    body_part: str = "event"
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None


_STANDARD = Message(Format.STANDARD)
_NONE = Message(Format.NONE)


@dataclass(frozen=True, slots=True)
class Profile:
    """`messages`: without one for progress there are no progress callbacks; the others are the standard event then."""

    name: str
    messages: Mapping[Moment, Message]

    def message(self, moment: Moment) -> Message:
        return self.messages.get(moment, _NONE if moment is Moment.PROGRESS else _STANDARD)


@dataclass(frozen=True, slots=True)
class DestinationDefaults:
    """Defaults of all callbacks to a destination. `timeouts_s`: by moment, in seconds."""

    profile: str | None = None
    timeouts_s: Mapping[Moment, float] = field(default_factory=dict)


_NO_DEFAULTS = DestinationDefaults()


@dataclass(frozen=True, slots=True)
class CallbackProfiles:
    """All profiles by name, and which of them processors and destinations have. Destinations are `host:port`."""

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    processors: Mapping[str, str] = field(default_factory=dict)
    destinations: Mapping[str, DestinationDefaults] = field(default_factory=dict)

    @property
    def bound(self) -> bool:
        """True if jobs that name no profile may have one, or a time limit, all the same."""
        return bool(self.processors or self.destinations)

    def message(self, moment: Moment, named: str | None, processor: str, url: str) -> Message:
        """Return what is sent. Raises InvalidInput for a profile that the file does not have."""
        defaults = self._defaults(url)
        profile = self.find(named, processor, url)
        found = (_NONE if moment is Moment.PROGRESS else _STANDARD) if profile is None else profile.message(moment)
        if found.timeout_s is None and (timeout_s := defaults.timeouts_s.get(moment)) is not None:
            found = Message(
                found.format, found.body, found.files, found.body_part, found.path, found.headers, timeout_s
            )
        return found

    def find(self, named: str | None, processor: str, url: str) -> Profile | None:
        """Return a job's profile; None if it has the standard event. Raises InvalidInput for a name without a profile."""
        name = named or self.processors.get(processor) or self._defaults(url).profile
        if not name:
            return None
        if name not in self.profiles:
            raise unknown_profile(name, self.profiles)
        return self.profiles[name]

    def wants_progress(self, named: str | None, processor: str, url: str | None) -> bool:
        """True if the job's callbacks report progress too."""
        if not url or not (named or self.bound):
            return False
        try:
            profile = self.find(named, processor, url)
        except InvalidInput:  # its end will be refused by name
            return False
        return profile is not None and profile.message(Moment.PROGRESS).format is not Format.NONE

    def _defaults(self, url: str) -> DestinationDefaults:
        return self.destinations.get(destination_of(url), _NO_DEFAULTS) if self.destinations else _NO_DEFAULTS


def unknown_profile(name: str, known: Mapping[str, object]) -> InvalidInput:
    """Return the error for a profile that is not declared, with the nearest name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = f"Known: {', '.join(known)}." if known else "SLUICE_CALLBACK_SHAPES names no file with profiles."
    hint = f"Did you mean {near[0]!r}? {listed}" if near else listed
    return InvalidInput(f"There is no callback profile {name[:80]!r}.", next_step=hint)


def with_path(url: str, extra: str) -> str:
    """Return the URL with `extra` behind its path; its query stays."""
    if not extra:
        return url
    parts = urlsplit(url)
    path = parts.path.rstrip("/") + "/" + extra.lstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
