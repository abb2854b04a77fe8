"""`sluice replay list|show|pause|resume|cancel`, and the progress of a replay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from streams.cli.options import COUNT, Json
from streams.cli.output import err, jsonable, out, out_json, table

if TYPE_CHECKING:
    from connectors.replay_store import Chosen, NewReplay, Replay, ReplayStore
    from streams.settings import Settings

ReplayId = Annotated[str, Parameter(help="Id of the replay, as `sluice replay list` prints it.")]
#: Seconds between two looks at a replay.
LOOK_S = 0.25
#: Rows that `show` prints of those that were not published.
SHOWN = 20
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "EXPIRED")


def list_(
    *,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], validator=COUNT, help="Number of replays to list.")] = 20,
    json: Json = False,
) -> int:
    """List replays, newest first.

    For example:

        sluice replay list
        sluice replay list --json | jq '.[] | select(.state == "running")'
    """
    with _store() as store:
        found = store.replays(limit)
    if json:
        out_json([as_json(one, None) for one in found])
        return 0
    lines = [
        (
            r.replay_id,
            r.state,
            r.total,
            r.published,
            r.waiting,
            r.parked,
            r.failed,
            r.created_at,
            r.requested_by,
            r.reason,
        )
        for r in found
    ]
    head = ("REPLAY", "STATE", "JOBS", "PUBLISHED", "WAITING", "PARKED", "FAILED", "STARTED (UTC)", "BY", "REASON")
    out(table(lines, head))
    return 0


def show(
    replay_id: ReplayId,
    /,
    *,
    follow_: Annotated[bool, Parameter(name=["--follow", "-f"], help="Watch until its new runs have ended.")] = False,
    json: Json = False,
) -> int:
    """Show one replay: its progress, its new runs by state, what failed.

    Exit status 5 if there is none.

    For example:

        sluice replay show 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
        sluice replay show 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --follow
    """
    with _store() as store:
        found = found_replay(store, replay_id)
        if follow_:
            found, _ = follow(store, found, wait=True)
        outcomes = store.outcomes(replay_id)
        left = [*store.rows(replay_id, "failed", SHOWN), *store.rows(replay_id, "parked", SHOWN)]
    if json:
        out_json({**as_json(found, outcomes), "not_published": left})
        return 0
    out(as_text(found, outcomes))
    if left:
        lines = [(row.job_id or f"{row.topic}[{row.partition}]@{row.offset}", row.state, row.reason) for row in left]
        out(table(lines, ("JOB", "STATE", "REASON")))
        if found.failed + found.parked > len(left):
            err(f"These are the first {SHOWN} of each; --json prints as many.")
    return 0


def pause(replay_id: ReplayId, /, *, json: Json = False) -> int:
    """Pause a replay: no more of its jobs are published.

    For example:

        sluice replay pause 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
    """
    return _act(replay_id, "pause", json)


def resume(replay_id: ReplayId, /, *, json: Json = False) -> int:
    """Resume a paused replay.

    For example:

        sluice replay resume 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
    """
    return _act(replay_id, "resume", json)


def cancel(replay_id: ReplayId, /, *, json: Json = False) -> int:
    """Cancel a replay. Jobs that were published already run on.

    Exit status 7 if it has ended.

    For example:

        sluice replay cancel 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10
    """
    return _act(replay_id, "cancel", json)


def _act(replay_id: str, action: str, json: bool) -> int:
    from connectors.replay_store import checked_action

    with _store() as store:
        after = checked_action(store, found_replay(store, replay_id), action)
        outcomes = store.outcomes(replay_id)
    out_json(as_json(after, outcomes)) if json else out(as_text(after, outcomes))
    return 0


def follow(store: ReplayStore, replay: Replay, *, wait: bool) -> tuple[Replay, dict[str, int] | None]:
    """Show progress until all rows are published, or with `wait` until the new runs have ended.

    Returns the replay, and its new runs by state. Ctrl-C ends only the watching."""
    from streams.cli.progress import progress_to

    try:
        with progress_to("ended" if wait else "published", replay.total) as show_to:
            while True:
                began = time.monotonic()
                replay = store.replay(replay.replay_id) or replay
                outcomes = store.outcomes(replay.replay_id) if wait else None
                ended = sum((outcomes or {}).get(state, 0) for state in _ENDED)
                show_to(replay.parked + replay.failed + (ended if wait else replay.published))
                over = replay.state == "cancelled" or not replay.waiting
                if over and (not wait or ended >= sum((outcomes or {}).values())):
                    return replay, outcomes if outcomes is not None else store.outcomes(replay.replay_id)
                # A look at many jobs takes long: it takes a tenth of the time at most.
                time.sleep(max(LOOK_S, 10 * (time.monotonic() - began)))
    except KeyboardInterrupt:
        err(f"The replay goes on without this command. Watch it: sluice replay show {replay.replay_id} --follow")
        err(f"Stop it: sluice replay cancel {replay.replay_id}")
        raise


def print_dry_run(settings: Settings, store: ReplayStore, new: NewReplay, chosen: Chosen, json: bool) -> None:
    """Print what a replay would do: counts by error, sizes, device time, and which requests would fail."""
    from streams.explain.finding import counted
    from streams.replay.dry_run import dry_run

    found = dry_run(settings, store, new, chosen)
    if json:
        counts = {"jobs": found.jobs, "would_fail": found.would_fail, "parked": found.parked}
        out_json({**jsonable(found), **counts})
        return
    about = "about " if found.checked < found.jobs else ""
    run = counted(found.jobs - found.would_fail, "job")
    out(f"{about}{run} would run, {about}{found.would_fail:,} would fail, {found.parked:,} parked")
    lines = [(g.jobs, g.processor, g.state, g.error_code, g.fingerprint, g.parked) for g in found.groups]
    out(table(lines, ("JOBS", "PROCESSOR", "STATE", "ERROR", "FINGERPRINT", "PARKED BECAUSE")))
    time_ = "not known" if found.device_s is None else f"about {found.device_s:,.1f} s, as their last runs took"
    out(f"about {found.bytes:,} bytes of requests; device time {time_}")
    rate = new.rate or 0
    if rate:
        out(f"published within about {found.jobs / rate:,.0f} s, at {rate:g} jobs a second")
    fit = found.checked - sum(one.jobs for one in found.refused)
    edited = "" if new.edit is None else "take the patch, "
    out(f"of {counted(found.checked, 'request')} read, {fit:,} decode, {edited}and fit the present schema")
    for one in found.refused:
        out(f"  {one.jobs:,} would fail: {one.reason}")


def as_json(replay: Replay, outcomes: dict[str, int] | None) -> dict[str, Any]:
    more = {} if outcomes is None else {"outcomes": outcomes}
    return {**jsonable(replay), "waiting": replay.waiting, **more}


def as_text(replay: Replay, outcomes: dict[str, int] | None) -> str:
    """Return a replay in some lines."""
    said = ", ".join(f"{name} {value}" for name, value in replay.selection.items()) or "no condition"
    rate = "no limit" if replay.rate is None else f"{replay.rate:g} jobs a second"
    lines = [
        f"replay {replay.replay_id}: {replay.state}",
        f"  started      {replay.created_at:%Y-%m-%d %H:%M:%S} UTC by {replay.requested_by}"
        + (f": {replay.reason}" if replay.reason else ""),
        f"  selection    {said}",
        *([] if replay.to_version is None else [f"  shadow run   by version {replay.to_version}; never counts"]),
        f"  callbacks    {replay.callbacks}; rate: {rate}" + ("; inputs edited" if replay.edit is not None else ""),
        f"  jobs         {replay.total}: {replay.published} published, {replay.waiting} waiting, {replay.parked} parked, "
        f"{replay.failed} failed to be published",
    ]
    if outcomes:
        lines.append("  new runs     " + ", ".join(f"{count} {state}" for state, count in outcomes.items()))
    return "\n".join(lines)


def _store() -> ReplayStore:
    from streams import wiring
    from streams.settings import load_settings

    return wiring.replay_store(load_settings())


def found_replay(store: ReplayStore, replay_id: str) -> Replay:
    from schemas.errors import NotFound

    found = store.replay(replay_id)
    if found is None:
        raise NotFound(f"There is no replay {replay_id}.", next_step="`sluice replay list` lists them.")
    return found
