"""Prints outcomes, and turns them into an exit status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from schemas.errors import ExitCode
from schemas.states import State
from streams.cli.output import json_text, jsonable
from streams.client.outcomes import Outcome


def as_json(outcome: Outcome) -> dict[str, Any]:
    header, info = outcome.result.header, outcome.result.result
    return {
        "job_id": header.job_id,
        "run": header.run,
        "processor": header.processor,
        "state": outcome.state,
        "attempt": header.attempt,
        "output": jsonable(outcome.result.output),
        "error": jsonable(info.error),
        "worker": info.worker_id,
        "device": info.device,
        "device_note": info.device_note,
        "model_version": info.model_version,
        "model_sha256": info.model_sha256,
        "code_version": info.code_version,
        "reused_from": info.reused_from,
        "timings": jsonable(info.timings),
        "coordinates": jsonable(outcome.coordinates),
    }


def as_text(outcome: Outcome) -> str:
    header, info = outcome.result.header, outcome.result.result
    took = (info.timings.finished_at - header.created_at).total_seconds() * 1000
    lines = [f"{outcome.state}  {header.job_id}  {took:.0f} ms  {info.device}  attempt {header.attempt}"]
    if info.error is not None:
        lines.append(f"  {info.error.code}: {info.error.message}")
    if outcome.result.output is not None:
        lines.append(json_text(outcome.result.output))
    return "\n".join(lines)


def exit_code(outcomes: Sequence[Outcome], expected: int) -> int:
    """Return one status for many jobs: 124 if some are open, 8 if only some completed, else their common one."""
    if len(outcomes) < expected:
        return ExitCode.WAIT_TIMED_OUT
    codes = {outcome.exit_code for outcome in outcomes}
    if len(codes) > 1:
        return ExitCode.PARTIAL if ExitCode.OK in codes else ExitCode.JOB_FAILED
    return codes.pop() if codes else ExitCode.OK


def summary(states: Sequence[State], expected: int) -> str:
    """Format as `998 COMPLETED, 2 FAILED`, with the number of open jobs if there are any."""
    counted = [f"{count} {state}" for state, count in Counter(states).most_common()]
    missing = [f"{expected - len(states)} still open"] if len(states) < expected else []
    return ", ".join(counted + missing) or "no jobs"
