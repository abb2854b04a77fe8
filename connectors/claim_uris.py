"""Checks where a claim points.

The submitter of a job chooses the uri, so it is matched against the allowed roots and never opened directly:
`file:///etc/passwd`, `..` or a cloud's metadata address are refused before any access.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from schemas.errors import InvalidInput, UsageError

SCHEMES = ("file", "s3", "gs", "az", "memory")
#: Folders of the store: contents by their hash, contents that are to be deleted, and objects whose hash is not known yet.
CONTENTS = "sha256"
TRASH = "trash"
INCOMING = "incoming"
#: Prefix of objects that are stored under a name.
NAMED = "notes/"
_CONTENT_KEY = re.compile(r"sha256/([0-9a-f]{2})/\1[0-9a-f]{62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9-]+(/[A-Za-z0-9-]+)*")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\?#]")


@dataclass(frozen=True, slots=True)
class Location:
    """An object inside an allowed root."""

    root: str
    key: str


def content_key(sha256: str) -> str:
    """Return the key `sha256/ab/abcd…`. The fan-out is for file systems that are slow with a million files in a folder."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput("A claim's sha256 is 64 lower-case hex digits.")
    return f"sha256/{sha256[:2]}/{sha256}"


def is_content_key(key: str) -> bool:
    """True for a key as `content_key` returns it."""
    return _CONTENT_KEY.fullmatch(key) is not None


def named_key(name: str) -> str:
    """Return the key (`notes/…`) of an object that is stored under a name instead of its content's hash."""
    if not _NAME.fullmatch(name):
        raise InvalidInput("The name of a stored object consists of letters, digits and `-`, with `/` between parts.")
    return f"{NAMED}{name}"


def root_uri(url: str) -> str:
    """Return a configured store url in absolute form, without a trailing slash. Raises UsageError."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _bad_root(url) from error
    if parts.scheme not in SCHEMES or parts.query or parts.fragment or "@" in parts.netloc:
        raise _bad_root(url)
    if parts.scheme == "memory":
        return "memory://"
    if parts.scheme != "file":
        if not parts.netloc:
            raise _bad_root(url)
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise _bad_root(url)
    folder = Path(unquote(parts.path)).resolve()
    if folder == Path(folder.anchor):
        raise _bad_root(url)
    return folder.as_uri()


def locate(uri: str, roots: Sequence[str]) -> Location:
    """Return the object inside one of `roots` that `uri` names. Raises InvalidInput for any other uri."""
    for root in roots:
        if uri.startswith(root + "/"):
            return Location(root, _safe_key(uri[len(root) + 1 :]))
    raise InvalidInput(
        f"A claim may not point to {_shown(uri)}.",
        next_step=f"Allowed: {', '.join(roots)}. Upload the file with `sluice upload`, or ask the operator to allow its root.",
    )


def _safe_key(text: str) -> str:
    key = unquote(text)
    if _UNSAFE.search(text) or _UNSAFE.search(key) or any(part in ("", ".", "..") for part in key.split("/")):
        raise InvalidInput("A claim's uri may not contain empty segments, dots or control characters.")
    return key


def _shown(uri: str) -> str:
    """Return the part of a uri that messages may show: scheme and host, not the path (it may name a patient)."""
    scheme, mark, rest = uri.partition("://")
    host = rest.split("/", 1)[0].rpartition("@")[2]
    return repr((scheme + mark + host)[:80]) + (" (path not shown)" if "/" in rest else "")


def _bad_root(url: str) -> UsageError:
    return UsageError(
        f"{url.partition('@')[2] or url!r} is not the address of an object store.",
        next_step="Use file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or memory://.",
    )
