"""The queue before a job, and whether it ends before its deadline, by measured times."""

from __future__ import annotations

from schemas.states import Custody, Lane, State
from streams.explain.finding import Advice, Finding, Voice, clock, counted, span
from streams.explain.snapshot import JobSnapshot, RecordReading

#: A deadline nearer than this is worth a sentence even if nothing shows that the job will miss it.
NEAR_S = 120.0


def ahead(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    place, pace = snapshot.place, snapshot.pace
    if snapshot.custody is Custody.LEASE or place is None:
        number = pace.waiting - 1 if pace is not None and snapshot.custody is Custody.LEASE else 0
        return _queue(number, "", snapshot) if number > 0 and is_pending(snapshot) else None
    number = place.ahead + (place.in_flight if place.reading is RecordReading.UNREAD else 0)
    if place.reading is not RecordReading.UNREAD or not number or not is_pending(snapshot):
        return None
    where = f" in {place.request.topic}[{place.request.partition}]" if voice.operator else ""
    flight = f", {place.in_flight:,} of them in flight" if place.in_flight else ""
    lane = "; live jobs go first" if snapshot.view is not None and snapshot.view.lane == Lane.BULK else ""
    return _queue(number, f"{where}{flight}{lane}", snapshot)


def _queue(number: int, where: str, snapshot: JobSnapshot) -> Finding:
    return Finding(
        "ahead_in_queue",
        f"{counted(number, 'job')} {'is' if number == 1 else 'are'} ahead of it{where}.",
        "It runs after those before it.",
        () if snapshot.paused else (Advice("Run more workers", f"sluice worker {snapshot.processor}"),),
    )


def is_pending(snapshot: JobSnapshot) -> bool:
    return snapshot.view is None or State(snapshot.view.state) is State.PENDING


def deadline_near(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    if view is None or view.deadline is None:
        return None
    left = (view.deadline - snapshot.now).total_seconds()
    end = estimated_end(snapshot)
    late = end is not None and end > left
    if left <= 0 or (left > NEAR_S and not late):
        return None
    expected = f", and by its queue it would take {span(end)}" if late and end is not None else ""
    return Finding(
        "deadline_near",
        f"Its deadline is near: {clock(view.deadline, snapshot.now)}{expected}.",
        "At its deadline it ends as EXPIRED, unless it has ended before.",
        (Advice("Submit it again with a later deadline, if it must run"),),
    )


def estimated_end(snapshot: JobSnapshot) -> float | None:
    """Return the seconds until it ends, by measured times; None if nothing supports a number."""
    return None if snapshot.pace is None else snapshot.pace.end_s(jobs_ahead(snapshot))


def jobs_ahead(snapshot: JobSnapshot) -> int:
    """Return how many jobs of all partitions start before it: partitions are served alike, and no more jobs wait than do."""
    place, pace = snapshot.place, snapshot.pace
    waiting = 0 if pace is None else max(0, pace.waiting - 1)
    return waiting if place is None else min(waiting, place.ahead * place.partitions)
