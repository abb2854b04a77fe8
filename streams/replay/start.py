"""Checks the options of a replay, and freezes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connectors.callbacks.guard import check_url
from connectors.replay_store import FASTEST, NONE, SLOWEST, USUAL, NewReplay
from schemas.addresses import AllowRules
from schemas.errors import UsageError
from schemas.ids import new_id
from schemas.states import Mode
from streams.settings import Settings
from streams.timekeeper.replayed import check_edit

#: Longest text of a reason.
LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How jobs are replayed. `rate`: jobs a second, None: no limit. `at_most`: jobs, None: all of the selection. `force`:
    also those that were replayed too often. `callbacks`: usual, none or a URL. `deadline_s`: of each new run, from its
    publication. `to_version`: makes it a shadow run by that version."""

    requested_by: str
    reason: str = ""
    tenant: str | None = None
    rate: float | None = None
    at_most: int | None = None
    force: bool = False
    callbacks: str = USUAL
    edit: list[dict[str, Any]] | None = None
    deadline_s: float | None = None
    to_version: str | None = None


def new_replay(settings: Settings, selection: dict[str, Any], options: ReplayOptions) -> NewReplay:
    """Return the replay to start. `selection`: as its row says it. Raises UsageError, InvalidInput."""
    if options.callbacks not in (USUAL, NONE):
        rules = AllowRules.parse(",".join(settings.callbacks_allowed))
        check_url(options.callbacks, settings.backend, rules)
    if options.rate is not None and not SLOWEST <= options.rate <= FASTEST:
        raise UsageError(
            f"The rate is not between {SLOWEST:g} and {FASTEST:,.0f}.",
            next_step="Give jobs a second, as 20 or 0.5, or leave it out.",
        )
    if len(options.reason) > LONGEST_REASON:
        raise UsageError(f"The reason has more than {LONGEST_REASON} characters.", next_step="Shorten it.")
    if options.edit is not None:
        check_edit(options.edit)
    shadow = options.to_version is not None
    if shadow and (options.edit is not None or options.callbacks not in (USUAL, NONE)):
        raise UsageError(
            "A shadow run has the old inputs and no callbacks: --to-version takes no --edit and no URL of callbacks.",
            next_step="Leave them out, or replay without --to-version.",
        )
    return NewReplay(
        new_id(),
        options.requested_by,
        options.reason,
        selection,
        tenant=options.tenant,
        mode=(Mode.SHADOW if shadow else Mode.REPLAY).value,
        to_version=options.to_version,
        callbacks=NONE if shadow else options.callbacks,
        edit=options.edit,
        deadline_s=options.deadline_s,
        rate=options.rate,
        limit=None if options.force or shadow else settings.replay_limit,
        at_most=options.at_most,
    )
