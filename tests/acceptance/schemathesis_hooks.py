"""Hooks of schemathesis, which `schemathesis run` loads: they let its examples get beyond the first check."""

from __future__ import annotations

from typing import Any

import schemathesis

#: Seconds. A generated `wait` of up to a minute would be waited for.
LONGEST_WAIT_S = 0.05
INPUT = {"message": "hello"}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Shorten waits, and give valid names and inputs to some submits. A value that is wrong on purpose stays wrong."""
    wait = (case.query or {}).get("wait")
    if isinstance(wait, int | float) and not isinstance(wait, bool) and LONGEST_WAIT_S < wait <= 60:
        case.query["wait"] = LONGEST_WAIT_S
    body = case.body
    if not isinstance(body, dict) or case.method != "POST":
        return
    if isinstance(body.get("processor"), str) and len(body["processor"]) % 2:
        body["processor"] = "echo"
    if body.get("processor") == "echo":
        if isinstance(body.get("input"), dict):
            body["input"] = INPUT
        inputs = body.get("inputs")
        if isinstance(inputs, list) and inputs and all(isinstance(each, dict) for each in inputs):
            body["inputs"] = [INPUT for _ in inputs]
