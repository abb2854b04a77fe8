"""The tables of `sluice top`, as plain cells: a terminal and a pipe show the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from streams.cli.output import age, one_line

if TYPE_CHECKING:
    from connectors.delivery_admin import DestinationView
    from streams.cli.service_status import ServiceState
    from streams.cli.top_snapshot import ProcessorLine, TopSnapshot


class Section(NamedTuple):
    """`rows`: cells as text, without characters that steer a terminal."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


_PROCESSORS = (
    "PROCESSOR",
    "WAITING",
    "RUNNING",
    "RETRYING",
    "IN/MIN",
    "OUT/MIN",
    "FAILED",
    "QUEUE p50/p95",
    "RUN p50/p95",
    "LAG",
    "OLDEST",
)
_WORKERS = ("PROCESSOR", "WORKER", "VERSION", "DEVICE", "IN FLIGHT", "DONE", "MEMORY", "CIRCUIT", "STATE")
_DESTINATIONS = ("DESTINATION", "CIRCUIT", "PENDING", "DELIVERED", "FAILED", "LAST ERROR")


def sections(shown: TopSnapshot) -> list[Section]:
    """Return the tables that have rows."""
    workers = [row for service in shown.services for row in _engine_rows(service)]
    others = [_service_row(service) for service in shown.services if not service.engines]
    found = [
        Section("Processors, last minute", _PROCESSORS, [_processor_row(line) for line in shown.processors]),
        Section("Workers", _WORKERS, workers),
        Section("Services", ("SERVICE", "STATE", "DETAIL"), others),
        Section("Destinations, last 24 hours", _DESTINATIONS, [_destination_row(each) for each in shown.destinations]),
    ]
    return [Section(s.title, s.head, [tuple(map(one_line, row)) for row in s.rows]) for s in found if s.rows]


def _destination_row(view: DestinationView) -> tuple[str, ...]:
    counts = (str(view.pending), str(view.delivered), str(view.failed))
    return (view.destination, view.circuit, *counts, view.last_error or "-")


def notes(shown: TopSnapshot) -> Iterator[str]:
    """Yield the lines below the tables."""
    dead = "?" if shown.dead_letters is None else f"{shown.dead_letters:,}"
    lag_age = "never" if shown.lag_at is None else f"{(shown.at - shown.lag_at).total_seconds():.0f} s ago"
    yield f"open dead letters of the last hour: {dead}"
    yield f"{shown.at:%Y-%m-%d %H:%M:%S} UTC, read in {shown.took_ms:.0f} ms; lag read {lag_age}"
    for fault in shown.faults:
        yield one_line(fault)
    for service in shown.services:
        for reason in service.reasons:
            yield one_line(f"{service.name}: {reason}")


def _processor_row(line: ProcessorLine) -> tuple[str, ...]:
    flow, jobs, share = line.flow, line.jobs, line.failed_share
    return (
        f"{line.name} (paused)" if line.paused else line.name,
        str(jobs.get("PENDING", 0)),
        str(jobs.get("PROCESSING", 0)),
        str(jobs.get("RETRYING", 0)),
        str(flow.requested),
        str(flow.ended),
        "-" if share is None else f"{share:.0%}",
        f"{_ms(flow.queue_p50_ms)} / {_ms(flow.queue_p95_ms)}",
        f"{_ms(flow.run_p50_ms)} / {_ms(flow.run_p95_ms)}",
        "no commit" if line.lag is None else f"{line.lag:,}",
        age(line.lag_s),
    )


def _ms(millis: float | None) -> str:
    if millis is None:
        return "-"
    return f"{millis:.0f} ms" if millis < 10_000 else age(millis / 1000)


def _engine_rows(service: ServiceState) -> Iterator[tuple[str, ...]]:
    for engine in service.engines:
        circuit = engine.get("circuit") or {}
        opened = f" (left {circuit['opened']} times)" if circuit.get("opened") else ""
        memory = engine.get("child_rss")
        states = [flag for flag in ("paused", "standby") if engine.get(flag)]
        yield (
            str(engine.get("processor")),
            service.name,
            ",".join(map(str, engine.get("versions", []))) or "-",
            f"{engine.get('device') or '-'}{', CPU fallback' if engine.get('device_fallback') else ''}",
            str(engine.get("in_flight", "-")),
            str(engine.get("published", "-")),
            f"{memory / 1e6:.0f} MB" if memory else "-",
            f"{circuit.get('state', 'closed')}{opened}",
            ", ".join(states) or service.state,
        )


def _service_row(service: ServiceState) -> tuple[str, ...]:
    status = service.status or {}
    notify = status.get("notify") or {name: status[name] for name in ("held", "held_bytes") if name in status}
    facts = {
        "role": status.get("role"),
        "partitions": status.get("partitions"),
        "callbacks held": notify.get("held"),
        "waiting for schemas": status.get("waiting_for_schemas") or None,
        "failing": ", ".join(status.get("failing") or ()) or None,
    }
    detail = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    return service.name, service.state, detail or "-"
