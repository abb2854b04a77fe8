"""How a job ended, and what became of its callback."""

from __future__ import annotations

from connectors.callbacks.resolve import destination_of
from connectors.views import DeliveryView, HistoryLine, JobView
from schemas.states import State
from streams.explain.finding import Advice, Finding, Rule, Voice, clock, counted, cut, span
from streams.explain.snapshot import JobSnapshot

#: States of a delivery that never reached its backend, although it should have.
_FAILED = ("parked", "gone", "refused")
#: Follows from an outcome by itself.
FINAL = "Nothing by itself: the outcome of this run is final, and a replay makes a new run."


def callback_failed(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None:
        return None
    failed = next((each for each in outcome_deliveries(view) if each.state in _FAILED), None)
    if failed is None:
        return None
    last = failed.tries[-1] if failed.tries else None
    said = (
        "" if last is None else f", the last at {clock(last.at, snapshot.now)}: {cut(last.error or str(last.status))}"
    )
    because = {"gone": "the backend answered 410", "refused": "its address or body can't be used"}.get(failed.state, "")
    return Finding(
        f"callback_{failed.state}",
        f"It is {view.state}, but its callback was not delivered: {failed.state} after {_tries(failed)}"
        f"{said}{f' ({because})' if because else ''}.",
        "No further try follows by itself.",
        (
            Advice("See every try", f"sluice deliveries show {failed.delivery_id}"),
            Advice("Send it again once the backend works", f"sluice deliveries resend {failed.delivery_id}"),
            Advice("Read the outcome instead", f"sluice job {view.job_id}", f"GET /v1/jobs/{view.job_id}/result"),
        ),
    )


def callback_waiting(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None:
        return None
    pending = next((each for each in outcome_deliveries(view) if each.state == "pending"), None)
    if pending is None:
        return None
    host = destination_of(pending.destination) or pending.destination
    circuit = next(
        (each for each in snapshot.destinations if each.destination == host and each.circuit != "closed"), None
    )
    tries = _tries(pending)
    due = "" if pending.due_at is None else f", next try at {clock(pending.due_at, snapshot.now)}"
    steps = (Advice("See how its destination does", "sluice deliveries destinations"),)
    if circuit is not None:
        until = "" if circuit.retry_at is None else f" until {clock(circuit.retry_at, snapshot.now)}"
        last = f"; its last error: {cut(circuit.last_error)}" if circuit.last_error else ""
        return Finding(
            "callback_circuit_open",
            f"It is {view.state}; its callback waits after {tries}, because the circuit of {host} is {circuit.circuit}{until}"
            f"{last}.",
            "One delivery tries then; if it arrives, all others follow.",
            steps,
        )
    return Finding(
        "callback_waiting",
        f"It is {view.state}; its callback is not delivered yet: {tries}{due}.",
        "It is tried until it is delivered or parked.",
        steps,
    )


def dead_lettered(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    letter = None if view is None else _letter(view)
    if view is None or letter is None or State(view.state) is State.COMPLETED:
        return None
    place, code = letter.coordinates, view.error.code if view.error is not None else view.state
    message = f": {cut(view.error.message)}" if view.error is not None and view.error.message else ""
    where = f" at {voice.place(letter.coordinates)}" if voice.operator else ""
    return Finding(
        "dead_lettered",
        f"It failed with {code}, and its record is a dead letter{where}{message}.",
        "Nothing happens by itself: a dead letter waits for a person.",
        (
            Advice("See its headers and its value", f"sluice dlq show {place.partition}:{place.offset}"),
            Advice("Run it here as the worker did", f"sluice repro {view.job_id}"),
            *_again(
                snapshot, Advice("Run it again after the fix", f"sluice dlq redrive --job {view.job_id} --dry-run")
            ),
            *_alike(view),
        ),
    )


def _alike(view: JobView) -> tuple[Advice, ...]:
    fingerprint = "" if view.error is None else view.error.fingerprint
    text = "See the jobs that failed alike, by their fingerprint"
    return (Advice(text, f"sluice jobs --fingerprint {fingerprint}"),) if fingerprint else ()


def _letter(view: JobView) -> HistoryLine | None:
    return next((each for each in view.history if each.kind == "dead_letter" and each.run == view.run), None)


def failed(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or State(view.state) is not State.FAILED or _letter(view) is not None:
        return None
    error = view.error
    why = "" if error is None else f" with {error.code}: {cut(error.message)}"
    return Finding(
        "failed",
        f"It failed{_when(snapshot, view)}{why}, at attempt {view.attempt}.",
        FINAL,
        (
            Advice("Run it here as the worker did", f"sluice repro {view.job_id}"),
            *_again(snapshot, Advice("Run it again after the fix", f"sluice replay {view.job_id} --dry-run")),
            *_alike(view),
        ),
    )


def expired(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or State(view.state) is not State.EXPIRED:
        return None
    deadline = "" if view.deadline is None else f" of {clock(view.deadline, snapshot.now)}"
    started = "while it ran" if view.started_at is not None and view.device else "before it was done"
    return Finding(
        "expired",
        f"It expired: its deadline{deadline} passed {started}, at attempt {view.attempt}.",
        FINAL,
        _again(snapshot, Advice("Run it again, without that deadline", f"sluice replay {view.job_id} --dry-run")),
    )


def cancelled(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or State(view.state) is not State.CANCELLED:
        return None
    asked = view.cancel
    by = "" if asked is None else f" at {clock(asked.requested_at, snapshot.now)} by {asked.requested_by}"
    why = f" ({cut(asked.reason)})" if asked is not None and asked.reason else ""
    ran = "while it ran" if view.started_at is not None and view.device else "before it was done"
    return Finding(
        "cancelled",
        f"It was cancelled{by}{why}, {ran}.",
        FINAL,
        _again(snapshot, Advice("Run it again", f"sluice replay {view.job_id} --dry-run")),
    )


def completed(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or State(view.state) is not State.COMPLETED:
        return None
    took = (
        ""
        if view.finished_at is None
        else f", {span((view.finished_at - view.requested_at).total_seconds())} after its submit"
    )
    late = " Its cancel came too late." if view.cancel is not None else ""
    device = f" on {view.device}" if view.device else ""
    return Finding(
        "completed",
        f"It completed{_when(snapshot, view)}{took}{device}, at attempt {view.attempt}.{late}",
        "Nothing is left to do.",
        (Advice("Read its output", f"sluice job {view.job_id}", f"GET /v1/jobs/{view.job_id}/result"),),
    )


def _when(snapshot: JobSnapshot, view: JobView) -> str:
    at = view.finished_at or view.decided_at
    return "" if at is None else f" at {clock(at, snapshot.now)}"


def callback_delivered(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    done = (
        None if view is None else next((each for each in outcome_deliveries(view) if each.state == "delivered"), None)
    )
    if done is None:
        return None
    at = "" if done.ended_at is None else f" at {clock(done.ended_at, snapshot.now)}"
    return Finding("callback_delivered", f"Its callback was delivered{at}, at try {len(done.tries) or 1}.")


def _again(snapshot: JobSnapshot, advice: Advice) -> tuple[Advice, ...]:
    """Return the advice to run the job again, unless a later run of it counts: `notes.later_run` says how that one is."""
    return (advice,) if snapshot.later_run is None else ()


def _tries(delivery: DeliveryView) -> str:
    return counted(len(delivery.tries), "try", "tries")


def outcome_deliveries(view: JobView) -> list[DeliveryView]:
    """Return the deliveries of the run's final words, the newest first; those of progress are left out."""
    return [each for each in reversed(view.deliveries) if each.kind != "progress" and each.run == view.run]


RULES: tuple[Rule, ...] = (
    callback_failed,
    callback_waiting,
    dead_lettered,
    cancelled,
    expired,
    failed,
    completed,
    callback_delivered,
)
