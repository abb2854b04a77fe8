"""System 4: research runs by the four endpoints of the old backend, in English and Korean."""

from __future__ import annotations

from typing import Any

import pictures
import summary
from front_end import FrontEnd
from summary import Shown

#: By the name of the picture.
QUERIES = {
    "english": "How are callbacks retried when the backend is down?",
    "korean": "작업자가 죽으면 작업은 어떻게 되나요?",
}


def run(gateway: str) -> list[Shown]:
    """Check the worker's health, then run each query."""
    front = FrontEnd("research", gateway)
    front.say(str(front.get("/api/celery/health")["message"]))
    return [_research(front, name, query) for name, query in QUERIES.items()]


def _research(front: FrontEnd, name: str, query: str) -> Shown:
    task_id = str(front.post("/api/research/async", json={"query": query})["task_id"])
    found, states, seconds = front.follow(
        f"/api/task/{task_id}", _state, lambda task: task["status"] in ("success", "failure")
    )
    ok = found["status"] == "success" and bool(found["result"]["sources"])
    result: dict[str, Any] = found.get("result") or {}
    report = str(result.get("report", ""))
    said = (
        f"a report of {len(report)} characters from {len(result.get('sources', ()))} documents, {result.get('source')}"
    )
    row = {**found, "result": {**result, "report": report[:400]}} if ok else found
    shown = Shown(
        summary.RESEARCH, task_id[:13], query, states, seconds, said if ok else str(found.get("error")), ok, row
    )
    if ok:
        shown.pictures[f"research-{name}.png"] = pictures.text(f"{query}\n\n{report}")
    return shown


def _state(task: dict[str, Any]) -> str:
    return str(task["message"] if task["status"] == "progress" else task["status"])
