"""Compares the files of two claims by their content type: masks, JSON, text; anything else by its hash."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from connectors.claim_store import JobFiles
from schemas.errors import ConnectionFailed, JobError
from schemas.plain import from_plain
from schemas.records import Claim
from streams.shadow.differences import Comparer, Difference, MaskView, compare_texts

#: Larger texts and JSON files are compared by their hash.
LARGEST_TEXT = 4 << 20
#: Content types whose files are masks (processors/mask_comparison.py).
MASKS = frozenset({"application/x-nifti", "application/nifti", "image/nifti"})
_NO_NIBABEL = "masks are not compared here: nibabel is not installed (install sluice[models])"

Compare = Callable[[str, Path, Path], Sequence[Difference]]


class FileComparison:
    """`compare` is the `files` of a Comparer. Files are fetched one pair after another into a folder that is removed."""

    def __init__(self, store: JobFiles, tolerance: float = 0.0) -> None:
        self._store = store
        self._tolerance = tolerance

    def compare(self, path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[Difference]:
        """Raises ConnectionFailed if the object store does not answer. A file that is gone or damaged is a difference."""
        kind = "mask" if before.get("content_type") in MASKS and after.get("content_type") in MASKS else "file"
        if before["sha256"] == after["sha256"]:
            return [_equal(path, kind)]
        by_content = self._by_content(before, after)
        if by_content is None:
            return [Difference(path, kind, False, _size(before), _size(after), note="the files differ")]
        try:
            with tempfile.TemporaryDirectory(prefix="sluice-shadow-") as folder:
                one, other = (
                    self._store.fetch(from_plain(Claim, claim), Path(folder) / name)
                    for name, claim in (("before", before), ("after", after))
                )
                return by_content(path, one, other)
        except ConnectionFailed:
            raise
        except JobError as error:
            return [Difference(path, "unknown", False, note=error.message)]
        except ImportError:
            return [Difference(path, "unknown", False, note=_NO_NIBABEL)]

    def _by_content(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Compare | None:
        types = {str(claim.get("content_type", "")).partition(";")[0] for claim in (before, after)}
        if types <= MASKS:
            return compare_mask_files
        if max(before["size"], after["size"]) > LARGEST_TEXT:
            return None
        if types == {"application/json"}:
            return self._json
        return _texts if all(each.startswith("text/") for each in types) else None

    def _json(self, path: str, before: Path, after: Path) -> Sequence[Difference]:
        try:
            one, other = json.loads(before.read_bytes()), json.loads(after.read_bytes())
        except (ValueError, RecursionError):
            return _texts(path, before, after)
        return list(Comparer(_as_claims, self._tolerance).compare(one, other, path))


def compare_mask_files(path: str, before: Path, after: Path) -> Sequence[Difference]:
    from processors.mask_comparison import compare_masks

    found = compare_masks(before, after)
    view = MaskView(**{each.name: getattr(found, each.name) for each in fields(found)})
    note = "" if found.differing else "the files differ, the masks do not"
    return [Difference(path, "mask", not found.differing, similarity=found.dice, mask=view, note=note)]


def _texts(path: str, before: Path, after: Path) -> Sequence[Difference]:
    one, other = (each.read_text(encoding="utf-8", errors="replace") for each in (before, after))
    return [compare_texts(path, one, other)]


def _as_claims(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[Difference]:
    """Compare what looks like a claim within a file: nothing is fetched by it."""
    return [Difference(path, "file", before["sha256"] == after["sha256"], _size(before), _size(after))]


def _equal(path: str, kind: str) -> Difference:
    mask = MaskView(1.0) if kind == "mask" else None
    return Difference(path, kind, True, similarity=1.0, mask=mask)


def _size(claim: Mapping[str, Any]) -> str:
    return f"{claim['size']} bytes, sha256 {str(claim['sha256'])[:12]}…"
