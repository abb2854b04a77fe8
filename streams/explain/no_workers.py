"""Why no worker takes a job: there is none, none is ready, or those there are doubt themselves."""

from __future__ import annotations

from schemas.states import Custody, State
from streams.explain.finding import Advice, Finding, Voice, counted
from streams.explain.snapshot import JobSnapshot, RecordReading, WorkerSeen


def circuit_open(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """Each worker that could take it has left its group because its last jobs failed alike."""
    open_ = [each for each in snapshot.workers if each.circuit_open]
    if not open_ or _is_busy(snapshot) or any(_works(each) for each in snapshot.workers):
        return None
    first = open_[0]
    others = f", and {counted(len(open_) - 1, 'other worker')}" if len(open_) > 1 else ""
    return Finding(
        "circuit_open",
        f"The circuit of {voice.worker(first.worker_id)}{others} is {first.circuit} since {first.circuit_since}"
        f"{voice.reason(first.circuit_reason)}. It takes no jobs of {snapshot.processor} until it passes its test.",
        "The worker tests a new process after 1 s, 2 s, … 60 s, and comes back when one passes; the job has lost no attempt.",
        (
            Advice("See what fails", "sluice status"),
            Advice(
                "See which errors the jobs before it ended with",
                f"sluice jobs --processor {snapshot.processor} --state FAILED",
            ),
            Advice("Run a worker elsewhere", f"sluice worker {snapshot.processor}"),
        ),
    )


def no_worker(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    leased = snapshot.custody is Custody.LEASE
    if _is_busy(snapshot) or snapshot.workers or not (snapshot.members_known or leased):
        return None
    name = snapshot.processor or "its processor"
    return Finding(
        "no_worker",
        f"No worker of {name} runs{' on this machine, and none has claimed it elsewhere' if leased else ''}.",
        "It waits until one is started; its request is kept.",
        (
            Advice("Start a worker", f"sluice worker {name}"),
            Advice("See what runs", "sluice status"),
        ),
    )


def worker_not_ready(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    answered = [each for each in snapshot.workers if each.answered]
    if _is_busy(snapshot) or not answered or any(_works(each) for each in snapshot.workers):
        return None
    reasons = [reason for each in answered for reason in each.reasons]
    return Finding(
        "worker_not_ready",
        f"{counted(len(answered), 'worker')} of {snapshot.processor} {'is' if len(answered) == 1 else 'are'} not ready"
        f"{voice.reason('; '.join(dict.fromkeys(reasons)))}.",
        "It starts when one is.",
        (Advice("See why", "sluice status"), Advice("Check every dependency", "sluice doctor")),
    )


def _works(worker: WorkerSeen) -> bool:
    """True if it takes jobs, as far as is known."""
    return not worker.circuit_open and (worker.ready if worker.answered else worker.member)


def _is_busy(snapshot: JobSnapshot) -> bool:
    """True if a worker is known to have it."""
    view, place, lease = snapshot.view, snapshot.place, snapshot.lease
    return (
        (view is not None and State(view.state) is State.PROCESSING)
        or (lease is not None and lease.state == "held")
        or (place is not None and place.reading is RecordReading.FINISHED)
    )
