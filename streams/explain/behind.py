"""A job that a worker has finished, and that Postgres does not know to be finished."""

from __future__ import annotations

from schemas.states import State
from streams.explain.finding import Advice, Finding, Voice, counted
from streams.explain.snapshot import JobSnapshot, LogEvent, RecordReading


def stored_result(snapshot: JobSnapshot) -> LogEvent | None:
    """Return the result of the run that the log has and the store lacks."""
    view = snapshot.view
    wanted = [each for each in snapshot.found if each.kind in ("result", "retry")]
    if view is not None:
        known = {(h.coordinates.topic, h.coordinates.partition, h.coordinates.offset) for h in view.history}
        wanted = [
            each
            for each in wanted
            if each.run == view.run
            and (each.coordinates.topic, each.coordinates.partition, each.coordinates.offset) not in known
        ]
    return wanted[-1] if wanted else None


def sink_behind(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """The log has the result; Postgres does not, or did not answer."""
    result = stored_result(snapshot)
    if result is None and not is_finished(snapshot):
        return None
    view = snapshot.view
    if view is not None and (State(view.state) is State.RETRYING or view.due_kind == "not_before"):
        return None  # the offset is done, because the request is published again later
    where = "" if result is None else f" ({result.disposition}, {voice.place(result.coordinates, 'in the log')})"
    return Finding(
        "sink_behind",
        f"A worker has finished it{where}, but Postgres does not have its result yet: {sink_state(snapshot, voice)}.",
        "The sink stores the result as soon as it gets there; nothing is lost.",
        (
            Advice("See whether the sink and Postgres work", "sluice status"),
            Advice("Start a sink, if none runs", "sluice sink"),
        ),
    )


def is_finished(snapshot: JobSnapshot) -> bool:
    """True if a worker has finished with the request: its offset is done, or its lease is settled."""
    if snapshot.lease is not None:
        return snapshot.lease.state == "settled"
    return snapshot.place is not None and snapshot.place.reading is RecordReading.FINISHED


def sink_state(snapshot: JobSnapshot, voice: Voice) -> str:
    lag = snapshot.sink_behind
    behind = f"the sink is {counted(lag, 'record')} behind" if lag else "the sink has not stored it"
    reasons = [reason for sink in snapshot.sinks for reason in sink.reasons]
    if reasons:
        behind += voice.reason("; ".join(reasons))
    elif not snapshot.sinks and voice.operator:
        behind += ", and no sink is known to run here"
    return behind
