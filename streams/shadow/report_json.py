"""A shadow run's report in JSON's types, without pictures."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from connectors.shadow_store import RunEnding
from streams.shadow.cases import ShadowCase, ShadowReport, Summary
from streams.shadow.differences import Difference


def json_of(report: ShadowReport) -> dict[str, Any]:
    """Return the report. A number that JSON does not have (infinite, none) is null."""
    found: dict[str, Any] = _finite(
        {
            "replay_id": report.replay_id,
            "processor": report.processor,
            "to_version": report.to_version,
            "reason": report.reason,
            "started_by": report.started_by,
            "started_at": report.started_at.isoformat(),
            "made_at": report.made_at.isoformat(),
            "complete": report.summary.complete,
            "tolerance": report.tolerance,
            "summary": _summary(report.summary),
            "cases": [_case(case) for case in report.cases],
        }
    )
    return found


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "cases": summary.cases,
        "results": {str(result): count for result, count in summary.results.items()},
        "states": [{"before": one, "after": other, "cases": n} for (one, other), n in summary.states.items()],
        "run_ms": {"median_before": summary.run_ms[0], "median_after": summary.run_ms[1]},
        "fields": [asdict(each) for each in summary.fields],
    }


def _case(case: ShadowCase) -> dict[str, Any]:
    pair = case.pair
    return {
        "n": pair.n,
        "job_id": pair.job_id,
        "case_id": pair.case_id,
        "from_run": pair.from_run,
        "run": pair.run,
        "result": str(case.result),
        "reason": case.reason or None,
        "before": _ending(pair.before),
        "after": _ending(pair.after),
        "fields": [_difference(each) for each in case.differences],
    }


def _ending(ending: RunEnding | None) -> dict[str, Any] | None:
    names = ("state", "error_code", "model_version", "device", "run_ms")
    return None if ending is None else {name: getattr(ending, name) for name in names}


def _difference(each: Difference) -> dict[str, Any]:
    plain = {name: getattr(each, name) for name in Difference.__slots__ if name != "mask"}
    if each.mask is not None:
        names = ("dice", "before_ml", "after_ml", "change_ml", "differing", "level")
        labels = {str(label): value for label, value in each.mask.labels.items()}
        plain["mask"] = {name: getattr(each.mask, name) for name in names} | {"labels": labels}
    return plain


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
