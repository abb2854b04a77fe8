"""Turns a snapshot into an explanation: one headline, reasons in order, what happens next and what a person can do. Pure.

Never raises, whatever is missing: a part that did not answer is a sentence of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.views import DeliveryView
from schemas.records import Coordinates
from schemas.states import State
from streams.explain import behind, ended, no_workers, notes, queue, waiting
from streams.explain.finding import Advice, Finding, Rule, Voice, clock
from streams.explain.snapshot import Dependency, JobSnapshot

#: A longer wait than this is no estimate.
LONGEST_S = 10 * 365 * 86_400.0
#: What is not known while a source is away.
_CONSEQUENCES = {
    Dependency.POSTGRES: "its stored state, attempts, leases and callbacks are not known; the rest is from the log",
    Dependency.KAFKA: "how far the workers' group is, who its members are and what the store lacks is not known",
    Dependency.REGISTRY: "its request was not decoded: which version it asks for and its limits are not known",
}


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A record about the job. `where`: None for the job's owner, who sees no places in the log. `stored`: Postgres has it."""

    at: datetime
    kind: str
    run: int
    attempt: int
    where: Coordinates | None
    note: str = ""
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds from now, by measured times; None: nothing supports a number."""

    start_s: float | None
    end_s: float | None
    ahead: int
    rate: float | None
    run_s: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`situation`: the code of the first reason. `unknown`: what could not be found out, and why."""

    job_id: str
    run: int | None
    state: str
    at: datetime
    situation: str
    headline: str
    reasons: Sequence[Finding]
    next: str
    steps: Sequence[Advice]
    estimate: Estimate | None
    events: Sequence[JobEvent]
    deliveries: Sequence[DeliveryView]
    unknown: Sequence[str]

    @property
    def settled(self) -> bool:
        """True if nothing follows by itself any more: the run has ended, and no callback of it waits."""
        return State(self.state).terminal and not any(each.state == "pending" for each in self.deliveries)


def explain(snapshot: JobSnapshot, *, operator: bool = True) -> Explanation:
    """Explain a job. `operator`: False leaves out places in the log, ids of workers, leases and commands for a shell."""
    voice = Voice(operator)
    findings = _findings(snapshot, voice)
    first = findings[0]
    near = next((each for each in findings if each.code == "deadline_near" and each is not first), None)
    steps = _steps(findings, operator) or [_look_again(snapshot)]
    return Explanation(
        job_id=snapshot.job_id,
        run=snapshot.view.run if snapshot.view is not None else snapshot.run,
        state=snapshot.view.state if snapshot.view is not None else "UNKNOWN",
        at=snapshot.now,
        situation=first.code,
        headline=first.text if near is None else f"{first.text} {near.text}",
        reasons=findings,
        next=next(each.next for each in findings if each.next),
        steps=steps,
        estimate=_estimate(snapshot, first),
        events=_events(snapshot, operator),
        deliveries=[] if snapshot.view is None else snapshot.view.deliveries,
        unknown=_unknown(snapshot, operator),
    )


def _findings(snapshot: JobSnapshot, voice: Voice) -> list[Finding]:
    if snapshot.view is None:
        found = _not_stored(snapshot, voice)
    elif State(snapshot.view.state).terminal:
        found = _all(ended.RULES, snapshot, voice)
    else:
        found = _all(waiting.RULES, snapshot, voice)
        found += _all((waiting.next_in_line,), snapshot, voice) if not found else []
        found += _all((queue.deadline_near,), snapshot, voice)
    found += _all(notes.RULES, snapshot, voice)
    if not any(each.next for each in found):
        state = "unknown" if snapshot.view is None else snapshot.view.state
        found.insert(0, Finding("state", f"Its state is {state}.", "Look again in a moment.", (_look_again(snapshot),)))
    return found


def _all(rules: Iterable[Rule], snapshot: JobSnapshot, voice: Voice) -> list[Finding]:
    found = (rule(snapshot, voice) for rule in rules)
    return [each for each in found if each is not None]


def _look_again(snapshot: JobSnapshot) -> Advice:
    return Advice("Look again", f"sluice explain {snapshot.job_id}", f"GET /v1/jobs/{snapshot.job_id}/explanation")


def _not_stored(snapshot: JobSnapshot, voice: Voice) -> list[Finding]:
    """Explain a job that the store does not have, or while the store does not answer."""
    if (late := behind.sink_behind(snapshot, voice)) is not None:
        return [late]
    request = next((each for each in snapshot.found if each.kind == "request"), None)
    if request is not None:
        where = voice.place(request.coordinates, "in the log")
        known = (
            f"Its request is {where}. Postgres did not answer; by the log alone, it has no result yet."
            if snapshot.lacks(Dependency.POSTGRES)
            else f"Its request is {where}, and Postgres does not have it yet: {behind.sink_state(snapshot, voice)}."
        )
        happens = "A worker runs it all the same, and the sink stores both as soon as it can."
        first = Finding(
            "request_not_stored", known, happens, (Advice("See whether the sink and Postgres work", "sluice status"),)
        )
        rules = (
            waiting.paused,
            no_workers.circuit_open,
            no_workers.no_worker,
            no_workers.worker_not_ready,
            waiting.taken,
            queue.ahead,
        )
        return [first, *_all(rules, snapshot, voice)]
    if snapshot.accepted:
        text = "It is accepted: its request is committed in Postgres, and the log does not have it yet."
        happens = "The gateway publishes it at once; if it died, the timekeeper does, within seconds."
        return [Finding("accepted", text, happens, waiting.late_steps(snapshot) or (_look_again(snapshot),))]
    if snapshot.missing or not snapshot.searched:
        away = " and ".join(dict.fromkeys(str(each.dependency) for each in snapshot.missing))
        why = f"{capital(away)} did not answer" if away else "the log is too long to be searched now"
        text = f"Nothing is known of the job now: {why}."
        return [
            Finding(
                "not_known",
                text,
                "Ask again once it answers.",
                (Advice("See what is away", "sluice status"), _look_again(snapshot)),
            )
        ]
    text = "There is no such job: neither Postgres nor the log has it."
    return [
        Finding(
            "no_such_job",
            text,
            "Nothing happens.",
            (Advice("List jobs with their ids", "sluice jobs", "GET /v1/jobs"),),
        )
    ]


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _steps(findings: Sequence[Finding], operator: bool) -> list[Advice]:
    """Return each step once, in the order of the reasons; for the owner of the job those over HTTP, and plain advice."""
    every = dict.fromkeys(step for each in findings for step in each.steps)
    if operator:
        return list(every)
    kept = [Advice(each.text, None, each.request) for each in every if each.request or not each.command]
    return kept or [Advice("Ask the operator of this installation, with the job's id")]


def _estimate(snapshot: JobSnapshot, first: Finding) -> Estimate | None:
    """Return an estimate for a job that waits for its turn; nothing else can be estimated by a queue."""
    pace, view = snapshot.pace, snapshot.view
    if (
        pace is None
        or view is None
        or State(view.state) is not State.PENDING
        or first.code in ("not_before", "sink_behind")
    ):
        return None
    ahead = queue.jobs_ahead(snapshot)
    return Estimate(pace.start_s(ahead), pace.end_s(ahead), ahead, pace.rate, pace.run_s)


def _events(snapshot: JobSnapshot, operator: bool) -> list[JobEvent]:
    """Return every record that is known, in order; those that only the log has at their time."""
    view = snapshot.view
    stored = (
        []
        if view is None
        else [JobEvent(h.at, h.kind, h.run, h.attempt, h.coordinates, h.reason or "") for h in view.history]
    )
    known = {_key(each.where) for each in stored}
    if view is not None and view.result is not None and _key(view.result) not in known and view.finished_at is not None:
        stored.append(JobEvent(view.finished_at, "result", view.run, view.attempt, view.result))
        known.add(_key(view.result))
    only_in_log = [
        JobEvent(each.at, each.kind, each.run, each.attempt, each.coordinates, each.disposition, stored=False)
        for each in snapshot.found
        if _key(each.coordinates) not in known
    ]
    events = sorted([*stored, *only_in_log], key=lambda each: (each.run, each.at, each.attempt))
    return events if operator else [JobEvent(e.at, e.kind, e.run, e.attempt, None, e.note, e.stored) for e in events]


def _key(where: Coordinates | None) -> tuple[str, int, int] | None:
    return None if where is None else (where.topic, where.partition, where.offset)


def _unknown(snapshot: JobSnapshot, operator: bool) -> list[str]:
    said = []
    for each in snapshot.missing:
        reason = f" ({each.reason.rstrip('.')})" if operator and each.reason else ""
        said.append(f"{capital(str(each.dependency))} did not answer{reason}, so {_CONSEQUENCES[each.dependency]}.")
    if not snapshot.searched:
        said.append("The log was not searched to its end: it has too many records since the job was made.")
    faults = [each.fault for each in (*snapshot.timekeepers, *snapshot.sinks) if each.fault is not None and operator]
    return [*said, *(f"A service could not be asked: {fault}." for fault in faults)]


def describe_estimate(estimate: Estimate, at: datetime) -> str | None:
    """Return the estimate as a sentence; None if nothing supports a number."""
    start, end = (_after(at, seconds) for seconds in (estimate.start_s, estimate.end_s))
    if start is None:
        return None
    rate = "" if estimate.rate is None else f", by {estimate.rate:.3g} jobs/s of the last minute"
    return f"It should start at {start}{'' if end is None else f' and end at {end}'}{rate}."


def _after(at: datetime, seconds: float | None) -> str | None:
    return None if seconds is None or not seconds < LONGEST_S else clock(at + timedelta(seconds=seconds), at)
