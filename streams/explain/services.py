"""Sorts the health answers of this machine's services: workers of a processor, sinks and timekeepers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from streams.explain.snapshot import ServiceSeen, WorkerSeen
from streams.health.ask import HealthAnswer


class SeenServices(NamedTuple):
    workers: list[WorkerSeen]
    timekeepers: list[ServiceSeen]
    sinks: list[ServiceSeen]


def seen_services(
    answers: Iterable[HealthAnswer], processor: str | None, members: Iterable[WorkerSeen]
) -> SeenServices:
    """Join the group's members with the answers of their processes. A worker that has left its group is known by its answer."""
    workers = {each.worker_id: each for each in members}
    services: dict[str, list[ServiceSeen]] = {"timekeeper": [], "sink": []}
    for answer in answers:
        status = answer.status or {}
        name = answer.service_file.service
        if name == "worker":
            for seen in _workers(answer, processor):
                known = workers.get(seen.worker_id)
                workers[seen.worker_id] = (
                    seen if known is None else replace(seen, member=known.member, owner=known.owner)
                )
        elif name in services:
            role = str(status["role"]) if status.get("role") else None
            services[name].append(ServiceSeen(answer.ready, tuple(answer.reasons), role, answer.fault))
    return SeenServices(list(workers.values()), services["timekeeper"], services["sink"])


def _workers(answer: HealthAnswer, processor: str | None) -> Iterable[WorkerSeen]:
    status: Mapping[str, Any] = answer.status or {}
    for engine in status.get("engines") or ():
        if engine.get("processor") != processor:
            continue
        circuit = engine.get("circuit") or {}
        yield WorkerSeen(
            str(status.get("worker") or answer.service_file.pid),
            answered=True,
            ready=bool(answer.ready),
            reasons=tuple(answer.reasons),
            circuit=str(circuit.get("state") or "closed"),
            circuit_since=str(circuit.get("since") or ""),
            circuit_reason=str(circuit.get("reason") or ""),
            versions={str(name): float(share) for name, share in (engine.get("versions") or {}).items()},
            in_flight=int(engine.get("in_flight") or 0),
            paused=bool(engine.get("paused")),
        )
