"""Names of a result's files: of the field of the output that refers to the file, with an ending by its content type."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.records import Claim

#: Endings that `mimetypes` does not know.
_ENDINGS = {"application/dicom": ".dcm", "application/gzip": ".gz"}
_NIFTI = "application/x-nifti"
_GZIP = b"\x1f\x8b"


def name_of(claim: Claim, output: Any, head: bytes = b"") -> str:
    """Return the name of a file. `head`: its first bytes, where they are at hand: only they tell .nii from .nii.gz."""
    stem = fields_by_file(output).get(claim.sha256) or f"file-{claim.sha256[:12]}"
    return stem + ending_of(claim.content_type, head)


def ending_of(content_type: str, head: bytes = b"") -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _NIFTI and head:
        return ".nii.gz" if head.startswith(_GZIP) else ".nii"
    return _ENDINGS.get(kind) or mimetypes.guess_extension(kind) or ""


def fields_by_file(output: Any, path: tuple[str, ...] = ()) -> dict[str, str]:
    """Return, by the file's hash, the field of the output that refers to it, with its place in lists."""
    if isinstance(output, Mapping):
        sha256 = output.get("sha256")
        if isinstance(sha256, str) and "uri" in output:
            return {sha256: "-".join(path)}
        parts: Iterable[tuple[str, Any]] = output.items()
    elif isinstance(output, Sequence) and not isinstance(output, str | bytes):
        parts = ((str(n), item) for n, item in enumerate(output, 1))
    else:
        return {}
    return {sha256: name for key, value in parts for sha256, name in fields_by_file(value, (*path, str(key))).items()}
