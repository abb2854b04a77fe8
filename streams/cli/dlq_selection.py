"""The options of `sluice dlq` that select dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from streams.cli.options import moment

if TYPE_CHECKING:
    from connectors.dead_letter_store import DeadLetterFilter
    from streams.settings import Settings

Places = Annotated[str, Parameter(help="Places of dead letters, as `sluice dlq list` prints them.")]


@Parameter(name="*")
@dataclass(frozen=True)
class LetterOptions:
    """Conditions on dead letters; all of them must hold."""

    group: Annotated[str | None, Parameter(help="Only this group, by its fingerprint. Default: all.")] = None
    processor: Annotated[str | None, Parameter(help="Only dead letters of this processor. Default: all.")] = None
    since: Annotated[datetime | None, moment("Only dead letters since then.")] = None
    until: Annotated[datetime | None, moment("Only dead letters before then.")] = None
    job: Annotated[str | None, Parameter(help="Only dead letters of this job. Default: all.")] = None
    tenant: Annotated[
        str | None, Parameter(help="Only dead letters of this tenant's known jobs. Default: all, of unknown jobs too.")
    ] = None

    def wanted(self, settings: Settings, places: tuple[str, ...] = (), reason: str | None = None) -> DeadLetterFilter:
        """Return the conditions for the store. Raises UsageError."""
        from connectors.dead_letter_store import DeadLetterFilter
        from streams.dead_letters.places import parse_place

        topic = settings.topics.dead_letters
        return DeadLetterFilter(
            places=[parse_place(place, topic) for place in places] or None,
            fingerprint=self.group,
            reason=reason,
            processor=self.processor,
            since=self.since,
            until=self.until,
            job_id=self.job,
            tenant=self.tenant,
        )

    @property
    def given(self) -> bool:
        return any(
            value is not None for value in (self.group, self.processor, self.since, self.until, self.job, self.tenant)
        )


def chosen(
    settings: Settings, places: tuple[str, ...], which: LetterOptions | None, reason: str | None
) -> DeadLetterFilter:
    """Return the selection of a command that changes something. Raises UsageError if it names none, or two kinds."""
    from schemas.errors import UsageError

    options = which or LetterOptions()
    by_options = options.given or reason is not None
    if places and by_options:
        raise UsageError("Give places, or say which by options, not both.", next_step="Leave one of them out.")
    if not places and not by_options:
        raise UsageError(
            "Which dead letters?", next_step="Give places, or --group, --processor, --since; --dry-run counts first."
        )
    return options.wanted(settings, places, reason)
