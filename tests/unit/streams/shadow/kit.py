"""Cases made by hand, and reports of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.objects import ObjectStore
from connectors.shadow_store import RunEnding, ShadowPair
from schemas.plain import to_plain
from streams.shadow.cases import ShadowReport, compare_case, summarize
from streams.shadow.differences import Comparer
from streams.shadow.files import FileComparison

JOB = "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def ending(output: Any = None, *, state: str = "COMPLETED", code: str | None = None, **more: Any) -> RunEnding:
    refs: Sequence[Mapping[str, Any]] = more.get("refs", ())
    return RunEnding(more.get("run", 0), state, code, "1", "cpu", more.get("run_ms", 10.0), output, refs)


def pair(before: RunEnding | None, after: RunEnding | None, n: int = 1, **more: Any) -> ShadowPair:
    fields = {"case_id": None, "state": "published", "reason": None} | more
    return ShadowPair(
        n, more.get("job_id", JOB), "echo", fields["case_id"], 0, 1, fields["state"], fields["reason"], before, after
    )


def report_of(folder: Path, *pairs: ShadowPair, tolerance: float = 0.0, **more: Any) -> ShadowReport:
    comparer = Comparer(FileComparison(store_in(folder), tolerance).compare, tolerance)
    cases = [compare_case(each, comparer) for each in pairs]
    ranked = tuple(sorted(cases, key=lambda case: case.rank))
    reason = more.get("reason", "a new model")
    return ShadowReport("r1", "echo", "2", reason, "ada", AT, AT, tolerance, summarize(cases), ranked)


def store_in(folder: Path) -> ObjectStore:
    (folder / "objects").mkdir(exist_ok=True)
    return ObjectStore((folder / "objects").as_uri())


def stored(folder: Path, content: bytes, content_type: str) -> dict[str, Any]:
    """Store a file and return its claim as an output has it."""
    return to_plain(store_in(folder).put_bytes(content, content_type))
