"""Checks of callbacks. Each function yields one sentence for each break; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from tests.harness.checker.evidence import Evidence, Received, Run

#: What may keep a notifier from recording that a callback was delivered.
_EXCUSES = frozenset({"notify", "sink", "postgres", "receiver", "everything"})
#: A notifier that died holds its deliveries for its lease, then another one makes them again.
_LEASE_S = 8.0


def missing(evidence: Evidence) -> Iterator[str]:
    accepted = {callback.token for callback in evidence.received if callback.accepted}
    decided = {outcome.job_id for outcome in evidence.outcomes}
    for job in evidence.submissions:
        if job.callback and job.job_id in decided and job.token not in accepted:
            yield f"{job.job_id} ({job.token}) ended and was never called back"
    reached = {callback.delivery_id for callback in evidence.received if callback.accepted}
    for row in evidence.deliveries:
        if row.state == "delivered" and row.delivery_id not in reached:
            yield f"{row.job_id} run {row.run} counts as delivered, and its receiver never had it"
        elif row.state != "delivered":
            yield f"the delivery of {row.job_id} run {row.run} is {row.state} after {row.tries} tries"


def doubled(evidence: Evidence) -> Iterator[str]:
    """A callback that was accepted and answered with success may come again only if a fault came between."""
    for run, callbacks in _by_run(evidence).items():
        ids = {callback.delivery_id for callback in callbacks}
        if len(ids) > 1:
            yield f"{run[0]} run {run[1]} was called back under {len(ids)} delivery ids"
        done = [callback for callback in callbacks if callback.accepted and callback.answered == 200]
        for first, again in pairwise(done):
            if evidence.faults_within(first.at - 1.0, min(again.at, first.at + _LEASE_S), _EXCUSES) == 0:
                yield f"{run[0]} run {run[1]} was called back again {again.at - first.at:.1f} s after it was accepted"


def after_terminal(evidence: Evidence) -> Iterator[str]:
    for run, callbacks in _by_run(evidence).items():
        accepted = [callback for callback in callbacks if callback.accepted]
        for callback in accepted[1:]:
            if (callback.status, callback.message) != (accepted[0].status, accepted[0].message):
                yield f"{run[0]} run {run[1]} was called back as {accepted[0].status}, and later as {callback.status}"
    first_ends = {(o.job_id, o.run): o.decided_at for o in evidence.outcomes}
    for callback in evidence.received:
        if (callback.job_id, callback.run) not in first_ends:
            yield f"{callback.job_id} run {callback.run} was called back as {callback.status} and has no outcome"


def out_of_order(evidence: Evidence) -> Iterator[str]:
    latest: dict[str, int] = {}
    for callback in sorted(evidence.received, key=lambda each: each.at):
        if callback.accepted:
            if callback.run < latest.get(callback.job_id, 0):
                yield f"{callback.job_id} run {callback.run} was called back after run {latest[callback.job_id]}"
            latest[callback.job_id] = max(callback.run, latest.get(callback.job_id, 0))


def _by_run(evidence: Evidence) -> dict[Run, list[Received]]:
    found: dict[Run, list[Received]] = defaultdict(list)
    for callback in sorted(evidence.received, key=lambda each: each.at):
        found[callback.job_id, callback.run].append(callback)
    return found
