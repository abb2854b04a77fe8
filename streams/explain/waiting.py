"""Why a job that has not ended waits, or what it is doing. Rules in the order in which they answer that best."""

from __future__ import annotations

from datetime import timedelta

from connectors.views import JobView
from schemas.states import Custody, State
from streams.explain.behind import sink_behind
from streams.explain.finding import Advice, Finding, Rule, Voice, clock, counted, cut
from streams.explain.no_workers import circuit_open, no_worker, worker_not_ready
from streams.explain.queue import ahead, is_pending
from streams.explain.snapshot import JobSnapshot, RecordReading

#: A due time that passed longer ago shows that no timekeeper does its work: a leading one handles it within a second.
LATE = timedelta(seconds=3)
#: A worker renews a lease every third of its length and at least every 2 s; it is silent after two that did not come.
HEARTBEAT_S = 2.0


def cancel_requested(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or view.cancel is None:
        return None
    why = f" ({cut(view.cancel.reason)})" if view.cancel.reason else ""
    running = State(view.state) is State.PROCESSING
    happens = (
        "Its worker asks it to stop, and kills its process if it does not."
        if running
        else "The timekeeper ends it within a second."
    )
    return Finding(
        "cancel_requested",
        f"Its cancel was requested at {clock(view.cancel.requested_at, snapshot.now)} by {view.cancel.requested_by}{why}.",
        happens,
        late_steps(snapshot),
    )


def timekeeper_late(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """The due time has passed, and nothing happened."""
    view = snapshot.view
    if view is None or view.due_at is None or view.due_at > snapshot.now - LATE:
        return None
    leaders = [each for each in snapshot.timekeepers if each.role == "leader"]
    who = "no timekeeper leads" if not leaders else "the timekeeper does not get to it"
    reasons = [reason for each in snapshot.timekeepers for reason in each.reasons]
    others = sum(each.jobs for each in snapshot.overdue)
    more = f"; {counted(others, 'run')} wait for it" if others > 1 else ""
    return Finding(
        "timekeeper_late",
        f"Its {DUE.get(view.due_kind or '', 'next step')} was due at {clock(view.due_at, snapshot.now)}: "
        f"{who}{voice.reason('; '.join(reasons))}{more}.",
        "It goes on within a second once a timekeeper leads.",
        late_steps(snapshot),
    )


DUE = {"retry": "retry", "deadline": "end by its deadline", "not_before": "start"}


def late_steps(snapshot: JobSnapshot) -> tuple[Advice, ...]:
    if any(each.role == "leader" for each in snapshot.timekeepers):
        return ()
    return (
        Advice("See whether a timekeeper leads", "sluice status"),
        Advice("Start one, if none runs", "sluice timekeeper"),
    )


def retry_waiting(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or State(view.state) is not State.RETRYING or view.due_at is None:
        return None
    of = "" if snapshot.header is None else f" of {snapshot.header.max_attempts}"
    error = "" if snapshot.last_error is None else f" with {snapshot.last_error.code}"
    at = clock(view.due_at, snapshot.now)
    if view.due_kind == "deadline":
        after, happens = f"its deadline comes before its next try: {at}", "Then it ends as EXPIRED."
    else:
        after = f"attempt {view.attempt + 1} starts at {at}"
        happens = "The timekeeper publishes its request again then."
    return Finding(
        "retry_waiting", f"Attempt {view.attempt}{of} failed{error}; {after}.", happens, (cancel_step(view),)
    )


def not_before(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or view.due_kind != "not_before" or view.due_at is None:
        return None
    return Finding(
        "not_before",
        f"It must not start before {clock(view.due_at, snapshot.now)}.",
        "The timekeeper releases it then.",
        (cancel_step(view),),
    )


def paused(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    command, view = snapshot.command, snapshot.view
    if command is None or not command.paused or command.requested_at is None:
        return None
    if view is not None and State(view.state) is State.PROCESSING:
        return None
    why = f" ({cut(command.reason)})" if command.reason else ""
    by = f" by {command.requested_by}" if voice.operator and command.requested_by else ""
    answered = f"; {counted(len(command.acknowledgements), 'worker')} acknowledged" if voice.operator else ""
    return Finding(
        "paused",
        f"The processor {command.name} is paused since {clock(command.requested_at, snapshot.now)}{by}{why}{answered}.",
        "Nothing of this processor starts until it is resumed.",
        (Advice("Resume the processor", f"sluice resume {command.name}"),),
    )


def lease_silent(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """A worker holds the lease and has not renewed it in time: it is frozen, cut off or dead."""
    lease = snapshot.lease
    if lease is None or lease.state != "held" or lease.renewed_at is None or lease.expires_at is None:
        return None
    length, silent = (
        each.total_seconds() for each in (lease.expires_at - lease.renewed_at, snapshot.now - lease.renewed_at)
    )
    if silent <= min(2 * min(length / 3, HEARTBEAT_S) + 0.5, 0.8 * length):
        return None
    last = lease.crashes + 1 >= lease.executions
    happens = (
        "Then the job is given up as WORKER_LOST: it was its last execution."
        if last
        else f"Then another worker claims the job and runs it again ({lease.crashes + 1} of {lease.executions} crashes)."
    )
    end = f"expires at {clock(lease.expires_at, snapshot.now)}" if voice.operator else "expires soon"
    return Finding(
        "lease_silent",
        f"{capital(voice.worker(lease.worker))} holds its lease and has been silent since "
        f"{clock(lease.renewed_at, snapshot.now)}; the lease {end}.",
        happens,
        (
            Advice("Look at that worker: it is frozen, cut off or dead", "sluice status"),
            *late_steps(snapshot),
        ),
    )


def running(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or State(view.state) is not State.PROCESSING:
        return None
    gone = _owner_gone(snapshot)
    stage = f", stage {view.stage}" if view.stage else ""
    percent = f" {view.percent:.0f} %" if view.percent is not None else ""
    message = f" ({cut(view.message)})" if view.message else ""
    since = clock(view.updated_at, snapshot.now)
    text = f"It runs on {voice.worker(view.owner)}{stage}{percent}{message}; last news at {since}."
    if gone:
        return Finding(
            "worker_gone",
            f"{capital(voice.worker(view.owner))} ran it and is no longer in its group; last news at {since}.",
            "The next owner of its partition runs it again, after 10 s at most.",
            (Advice("See which workers run", "sluice status"), cancel_step(view)),
        )
    crashes = snapshot.place.crashes if snapshot.place is not None else 0
    if view.stage == "retrying":
        text = f"An attempt failed; its worker tries it again in place, because its jobs run in order. Last news at {since}."
    return Finding(
        "running",
        text + (f" {counted(crashes, 'execution')} before this ended with the worker." if crashes else ""),
        "It ends by its result, its hard limit or its deadline.",
        (cancel_step(view),),
    )


def _owner_gone(snapshot: JobSnapshot) -> bool:
    if not snapshot.members_known or snapshot.view is None or snapshot.custody is Custody.LEASE:
        return False
    members = {each.worker_id for each in snapshot.workers if each.member}
    return snapshot.view.owner is not None and snapshot.view.owner not in members


def lease_waiting(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    lease = snapshot.lease
    if lease is None or lease.state != "waiting" or not lease.crashes:
        return None
    return Finding(
        "lease_again",
        f"{counted(lease.crashes, 'worker')} lost it; it waits to be claimed again, as execution {lease.execution}.",
        f"After {lease.executions} it is given up as WORKER_LOST.",
    )


def taken(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """A worker has the record, and no progress of it: it is quick, or waits in the worker."""
    place, view = snapshot.place, snapshot.view
    if (
        place is None
        or place.reading is not RecordReading.TAKEN
        or (view is not None and State(view.state) is not State.PENDING)
    ):
        return None
    owner = next((each.worker_id for each in snapshot.workers if each.owner), None)
    in_order = snapshot.header is not None and snapshot.header.order_key is not None
    others = counted(max(0, place.in_flight - 1), "other job")
    order = "; jobs with the same order key run one after the other" if in_order else ""
    crashed = f" {counted(place.crashes, 'execution')} of it ended with the worker." if place.crashes else ""
    return Finding(
        "in_flight",
        f"{capital(voice.worker(owner))} has taken it, with {others} of its partition in flight{order}.{crashed}",
        "It runs when the worker gets to it.",
        ()
        if snapshot.paused
        else (Advice("Run more workers, if this takes too long", f"sluice worker {snapshot.processor}"),),
    )


def next_in_line(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """Nothing else explains the wait: it is read in a moment, or too little is known."""
    if not is_pending(snapshot) and snapshot.view is not None:
        return Finding(
            "retry_waiting", f"Attempt {snapshot.view.attempt} failed; the next one follows.", "It is tried again."
        )
    ready = any(each.ready or (each.member and not each.answered) for each in snapshot.workers)
    text = "It is the next job of its partition" if ready else "It waits for a worker"
    return Finding("next", f"{text}.", "A worker takes it.", (Advice("See which workers run", "sluice status"),))


def cancel_step(view: JobView) -> Advice:
    return Advice("Cancel it", f"sluice cancel {view.job_id}", f"POST /v1/jobs/{view.job_id}/cancel")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


RULES: tuple[Rule, ...] = (
    sink_behind,
    cancel_requested,
    timekeeper_late,
    retry_waiting,
    not_before,
    paused,
    lease_silent,
    running,
    circuit_open,
    no_worker,
    worker_not_ready,
    lease_waiting,
    taken,
    ahead,
)
