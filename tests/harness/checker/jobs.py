"""Checks of jobs. Each function yields one sentence for each break; pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from tests.harness.checker.evidence import (
    TERMINAL,
    Evidence,
    OutcomeRow,
    RequestRecord,
    ResultRecord,
    Run,
    RunRow,
    Submission,
)

#: What may make a worker run a job again, or a producer write a record again.
_REPEATS = frozenset({"worker", "kafka", "postgres", "timekeeper", "sink"})
_CLOCK_S = 100.0
#: A worker that died is noticed, and its partitions are read again by another one, within a session of Kafka and a start.
_REBALANCE_S = 15.0
#: The door whose requests the timekeeper sends again while the sink has not read them.
_SENT_AGAIN = "rows"
#: Seconds within which the poller of `runs` sees a row that the sink has stored.
_POLL_S = 2.5
_SERVES_OUTCOMES = frozenset({"sink", "kafka", "postgres"})


def lost(evidence: Evidence) -> Iterator[str]:
    known = _known(evidence)
    for job in _accepted(evidence):
        if job.job_id not in known:
            yield f"{_name(job)} was accepted by the {job.door} door"


def stuck(evidence: Evidence) -> Iterator[str]:
    ended = {outcome.job_id for outcome in evidence.outcomes}
    known = _known(evidence)
    names = {job.job_id: _name(job) for job in evidence.submissions}
    for job in sorted(known - ended):
        states = [f"{row.state}, attempt {row.attempt}" for row in evidence.runs if row.job_id == job]
        yield f"{names.get(job, job)} is {' and '.join(states) or 'only a record of the log'}"
    decided = {(outcome.job_id, outcome.run) for outcome in evidence.outcomes}
    for row in evidence.runs:
        if row.job_id in ended and (row.state in TERMINAL) != ((row.job_id, row.run) in decided):
            yield f"{row.job_id} run {row.run} is {row.state}, and its outcome does not say so"


def doubled(evidence: Evidence) -> Iterator[str]:
    for run, count in Counter((o.job_id, o.run) for o in evidence.outcomes).items():
        if count > 1:
            yield f"{_run(run)} has {count} rows in outcomes"
    off = _CLOCK_S if evidence.clock_faults else 0.0  # by which the times of records may be wrong
    for run, records in _by_run(evidence.published).items():
        times = [record.at for record in records]
        if len(records) - 1 > evidence.faults_within(min(times) - 5 - off, max(times) + 5 + off, _SERVES_OUTCOMES):
            yield f"{_run(run)} was published {len(records)} times as an outcome"
    allowed = _allowed(evidence)
    requested = Counter((r.job_id, r.run, r.attempt) for r in evidence.requests)
    # Execution 0 is the timekeeper's word on a deadline or a cancel, beside which a worker may have its own.
    executed = _by_run(result for result in evidence.results if result.execution > 0)
    for (job, number), records in executed.items():
        for attempt, count in Counter(record.attempt for record in records).items():
            times = [record.at for record in records]
            faults = evidence.faults_within(min(times) - _REBALANCE_S - off, max(times) + off, _REPEATS)
            most = allowed.get(job, 1) + faults
            if count > most:
                again = requested[(job, number, attempt)]
                yield f"{_run((job, number))} has {count} results of attempt {attempt} ({again} requests, {faults} faults)"


def _allowed(evidence: Evidence) -> dict[str | None, int]:
    """Return how often each job may be executed without a fault: as often as it was submitted, and as it was sent again while
    the sink had not stored it."""
    seen: dict[str, float] = {}
    for row in evidence.observed:
        seen.setdefault(row.job_id, row.seen)
    requests: dict[str, list[float]] = defaultdict(list)
    for request in evidence.requests:
        if (request.run, request.attempt) == (0, 1):
            requests[request.job_id].append(request.at)
    allowed: dict[str | None, int] = {}
    for job in evidence.submissions:
        again = sorted(requests.get(job.job_id or "", ()))[1:] if job.door == _SENT_AGAIN else []
        known = seen.get(job.job_id or "", math.inf) + _POLL_S
        allowed[job.job_id] = max(job.copies, 1) + sum(1 for at in again if at <= known)
    return allowed


def divergent(evidence: Evidence) -> Iterator[str]:
    rows = {(o.job_id, o.run): o for o in evidence.outcomes}
    for record in evidence.published:
        row = rows.get((record.job_id, record.run))
        if row is not None and _meaning(row) != (record.state, record.message, record.error):
            yield f"{_run((record.job_id, record.run))} is {row.status} in Postgres and {record.state} in {record.topic}"
    for callback in evidence.received:
        row = rows.get((callback.job_id, callback.run))
        if row is not None and (row.status, row.message) != (callback.status, callback.message):
            yield f"{_run((callback.job_id, callback.run))} is {row.status}, and its callback said {callback.status}"
    answers = {job.job_id: job for job in evidence.submissions if job.job_id is not None}
    for row in evidence.outcomes:
        job = answers.get(row.job_id)
        if job is None or row.run != 0:
            continue
        if row.status not in job.states:
            if job.states == ("EXPIRED",) and row.status == "COMPLETED" and _clocks_were_late(evidence, job, row):
                continue
            yield f"{_name(job)} is {row.status} {row.error or ''}, not {' or '.join(job.states)}"
        elif row.status == "COMPLETED" and row.message != job.message:
            yield f"{_name(job)} has the wrong answer"
        elif row.status == "FAILED" and row.error != job.error:
            yield f"{_name(job)} failed with {row.error}, not {job.error}"
    for run, results in _by_run(evidence.results).items():
        if len({result.message for result in results if result.disposition == "succeeded"}) > 1:
            yield f"{_run(run)} has several results that differ"


def _clocks_were_late(evidence: Evidence, job: Submission, row: OutcomeRow) -> bool:
    """True if a worker's clock was stepped back while the job could run: by that clock its deadline had not passed."""
    late = [fault for fault in evidence.clock_faults if "back" in fault.name]
    return any(fault.begin <= row.decided_at and job.at <= fault.end for fault in late)


def phantom(evidence: Evidence) -> Iterator[str]:
    tokens = {job.token for job in evidence.submissions}
    ids = {job.job_id for job in evidence.submissions if job.job_id is not None}
    ids |= {request.job_id for request in evidence.requests if request.token in tokens}
    for outcome in evidence.outcomes:
        if outcome.job_id not in ids:
            yield f"{outcome.job_id} has an outcome"
    for callback in evidence.received:
        if callback.token not in tokens:
            yield f"{callback.job_id} was called back as {callback.token!r}"


def non_monotonic(evidence: Evidence) -> Iterator[str]:
    last: dict[Run, RunRow] = {}
    for row in (*evidence.observed, *evidence.runs):
        run = (row.job_id, row.run)
        before = last.get(run)
        if before is not None and (row.rank < before.rank or (before.state in TERMINAL and before.state != row.state)):
            yield f"{_run(run)} went from {before.state} {before.rank} to {row.state} {row.rank}"
        last[run] = row
    present = {(row.job_id, row.run) for row in evidence.runs}
    for run in sorted(last.keys() - present):
        yield f"{_run(run)} was there and is gone"


def unseen(evidence: Evidence) -> Iterator[str]:
    published = {(record.job_id, record.run) for record in evidence.published}
    for outcome in evidence.outcomes:
        if (outcome.job_id, outcome.run) not in published:
            yield f"{_run((outcome.job_id, outcome.run))} is {outcome.status} and was never published"
    records: list[RequestRecord | ResultRecord] = [*evidence.requests, *evidence.results]
    for each in records:
        place = (each.topic, each.partition, each.offset)
        if place not in evidence.history and each.offset < evidence.read.get(place[:2], 0):
            yield f"{_run((each.job_id, each.run))}: the sink passed {each.topic}[{each.partition}]@{each.offset}"


def unordered(evidence: Evidence) -> Iterator[str]:
    """Of jobs with one order key, in the order of the log: the winner of each began after that of the one before ended."""
    keys = {job.job_id: job.order_key for job in evidence.submissions if job.order_key is not None}
    at = {(r.topic, r.partition, r.offset): r for r in evidence.results}
    winners = {o.job_id: at.get((o.topic, o.partition, o.offset)) for o in evidence.outcomes}
    decided = {o.job_id: o.decided_at for o in evidence.outcomes}
    queues: dict[str, list[RequestRecord]] = defaultdict(list)
    for request in sorted(evidence.requests, key=lambda r: (r.topic, r.partition, r.offset)):
        key = keys.get(request.job_id)
        if key is not None and request.attempt == 1 and all(r.job_id != request.job_id for r in queues[key]):
            queues[key].append(request)
    for key, queue in queues.items():
        ran = [winner for request in queue if (winner := winners.get(request.job_id)) is not None]
        for first, second in pairwise(ran):
            if second.started_at < first.finished_at and not _clock_stepped(evidence, decided[first.job_id]):
                early = first.finished_at - second.started_at
                yield f"key {key}: {second.job_id} began {early:.3f} s before {first.job_id} ended"


def _clock_stepped(evidence: Evidence, at: float) -> bool:
    """True if a worker's clock was stepped around this time of the database: its times can't be compared."""
    return any(fault.begin - 15 <= at <= fault.end + 15 for fault in evidence.clock_faults)


def _accepted(evidence: Evidence) -> Iterator[Submission]:
    return (job for job in evidence.submissions if job.status == "ok")


def _known(evidence: Evidence) -> set[str]:
    """Return every job that is somewhere: in a table, or a request of the log."""
    rows: list[OutcomeRow | RunRow | RequestRecord] = [*evidence.outcomes, *evidence.runs, *evidence.requests]
    return {row.job_id for row in rows}


def _by_run(records: Iterable[ResultRecord]) -> dict[Run, list[ResultRecord]]:
    found: dict[Run, list[ResultRecord]] = defaultdict(list)
    for record in records:
        found[record.job_id, record.run].append(record)
    return found


def _meaning(row: OutcomeRow) -> tuple[str, str | None, str | None]:
    return (row.status, row.message, row.error)


def _run(run: Run) -> str:
    return f"{run[0]} run {run[1]}"


def _name(job: Submission) -> str:
    return f"{job.job_id} ({job.token}, {job.kind})"
