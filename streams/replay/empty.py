"""Says why a selection has no jobs: which of its conditions to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from connectors.replay_store import Chosen, NewReplay, ReplayFilter, ReplayStore
from schemas.errors import NotFound

#: Conditions by their option. Without `states` the runs may have ended in any state.
_OPTIONS = {
    "states": "--status",
    "error_code": "--error",
    "fingerprint": "--fingerprint",
    "since": "--since",
    "until": "--until",
    "model_version": "--model-version",
    "case_id": "--case",
    "batch_id": "--batch",
    "processor": "--processor",
}


def check_selected(store: ReplayStore, new: NewReplay, chosen: Chosen) -> None:
    """Raise NotFound if no job is selected, with the conditions without which there would be some."""
    if store.preview(new, chosen):
        return
    found = [f"{jobs:,} without {option}" for option, jobs in _without_one(store, new, chosen)]
    step = "`sluice jobs` lists jobs with their states."
    if found:
        step = f"Look at this condition: {', '.join(found)}." if len(found) == 1 else f"Look at: {'; '.join(found)}."
    raise NotFound("No job is selected, so nothing was started.", next_step=step)


def _without_one(store: ReplayStore, new: NewReplay, chosen: Chosen) -> Iterator[tuple[str, int]]:
    """Yield each condition without which jobs are selected, and how many."""
    looser = [("--max", replace(new, at_most=None), chosen)] if new.at_most is not None else []
    looser += [("--tenant", replace(new, tenant=None), chosen)] if new.tenant is not None else []
    if isinstance(chosen, ReplayFilter):
        given = {name: option for name, option in _OPTIONS.items() if getattr(chosen, name) is not None}
        looser += [(option, new, _without(chosen, name)) for name, option in given.items()]
    for option, as_new, of in looser:
        if jobs := sum(group.jobs for group in store.preview(as_new, of)):
            yield option, jobs


def _without(chosen: ReplayFilter, name: str) -> ReplayFilter:
    return ReplayFilter(**{each: getattr(chosen, each) for each in ReplayFilter.__slots__ if each != name})
