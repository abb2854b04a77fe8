"""Facts that explain a job without being the reason of its state: duplicates, its version, the last error, its origin."""

from __future__ import annotations

from connectors.views import HistoryLine
from processors.rollout import Rollout
from schemas.states import Mode, State
from streams.explain.finding import Advice, Finding, Rule, Voice, counted, cut
from streams.explain.snapshot import JobSnapshot


def superseded(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """Report records of the run that changed nothing, because another one came first."""
    view = snapshot.view
    lines = (
        [] if view is None else [each for each in view.history if each.kind == "superseded" and each.run == view.run]
    )
    if not lines:
        return None
    first = lines[0]
    more = f", and {counted(len(lines) - 1, 'more')}" if len(lines) > 1 else ""
    where = f" ({voice.place(first.coordinates)}{more})" if voice.operator else ""
    why = first.reason or "the first one counts"
    return Finding(
        "superseded_duplicate",
        f"A second {_what(first)} of this run came{where} and was superseded: {why}.",
    )


def _what(line: HistoryLine) -> str:
    topic = line.coordinates.topic
    return next((kind for kind in ("result", "request") if f"{kind}s." in topic), "record")


def version(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """Name the version that ran it, or will: if there are several, or the job asks for one."""
    view, asked = snapshot.view, None if snapshot.header is None else snapshot.header.model_version
    ran = None if view is None else view.model_version
    ended = view is not None and State(view.state).terminal
    shares, default = dict(snapshot.shares), next(iter(snapshot.shares), None)
    chosen = ran or asked or _chosen(snapshot)
    if not chosen or (ended and not ran):
        return None
    runs = "ran" if ran else "runs"
    if asked:
        known = [each for each in snapshot.workers if each.versions]
        lacking = not ran and known and not any(asked in each.versions for each in known)
        but = "; no worker that answered has it" if lacking else ""
        return Finding("pinned_version", f"It asks for version {asked}, and {runs} on it{but}.")
    if len(shares) < 2 or chosen == default:
        return None
    share = f", which gets {shares[chosen]:g} % of the jobs" if chosen in shares else ", which no worker has now"
    return Finding("canary_version", f"It {runs} on version {chosen}{share}; the default is {default}.")


def _chosen(snapshot: JobSnapshot) -> str | None:
    """Return the version that the rollout chooses for the job."""
    if len(snapshot.shares) < 2:
        return None
    (default, _), *canaries = snapshot.shares.items()
    return Rollout(default, tuple(canaries)).version_of(snapshot.job_id)


def last_error(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """Repeat the error of the last attempt of a run that goes on."""
    view = snapshot.view
    if view is None or State(view.state).terminal or snapshot.last_error is None:
        return None
    error = snapshot.last_error
    return Finding("last_error", f"The error of attempt {view.attempt}: {cut(error.message)}.")


def reused(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    view = snapshot.view
    source = None if view is None or view.receipt is None else view.receipt.reused_from
    if not source:
        return None
    of = f" of {source}" if voice.operator else " of an earlier job"
    return Finding("reused", f"No model ran: it repeats the output{of}, with the same input, weights and code.")


def provenance(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    header = snapshot.header
    if header is None or (header.mode == Mode.LIVE and header.replay_id is None):
        return None
    of = f" of replay {header.replay_id}" if header.replay_id else ""
    shadow = "; its outcome is only compared: no callback follows" if header.mode == Mode.SHADOW else ""
    return Finding("replay", f"Run {header.run} is a {header.mode} run{of}{shadow}.")


def later_run(snapshot: JobSnapshot, voice: Voice) -> Finding | None:
    """Name the run that counts, if an earlier one was asked for."""
    later = snapshot.later_run
    if later is None:
        return None
    look = Advice(f"See run {later.run}", f"sluice explain {later.job_id}", f"GET /v1/jobs/{later.job_id}/explanation")
    return Finding("later_run", f"Run {later.run} came later and counts: it is {later.state}.", steps=(look,))


RULES: tuple[Rule, ...] = (later_run, superseded, version, last_error, reused, provenance)
