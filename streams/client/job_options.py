"""The options of a submit: their types, meanings, units, defaults and limits, stated once.

`JobOptions` types the keywords of `Submitter.submit`; checks and error messages follow from each field's `Option`. A command
line derives its help from it too: `describe("deadline")` returns one option's text with default and limit, `OPTIONS` all of
them by name. To add an option: add the field to `schemas.records.JobHeader` and here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, TypedDict, get_type_hints

from schemas.errors import UsageError
from schemas.records import JobHeader
from schemas.states import Lane, Mode

#: Characters. An index of Postgres has room for 2704 bytes, so for 256 characters of any script.
LONGEST_ID = 256
LONGEST_URL = 2048
LONGEST_LABEL = 1024
MOST_LABELS = 64
#: Numbers are 32-bit integers in Avro and in Postgres.
LARGEST_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Option:
    """The meaning (with its unit) and limits of an option; its default is that of `JobHeader`.

    `longest`: characters of a text. `least`: the smallest number; the largest is LARGEST_NUMBER. `choices`: the only values
    that are accepted. `default`: the meaning of None, for an option without a default in `JobHeader`.
    """

    meaning: str
    longest: int | None = None
    least: int | None = None
    choices: tuple[Any, ...] = ()
    limit: str = ""
    default: str = "none"

    def check(self, name: str, value: Any) -> None:
        """Raise UsageError, naming the option and its limit, if a job can't have this value."""
        if self.longest is not None:
            _check_text(name, value, self.longest)
        if self.least is not None:
            _check_number(name, value, self.least)
        if self.choices and value not in self.choices:
            raise UsageError(f"{name}={value!r} is not offered.", next_step="Leave it out.")

    def limits(self) -> str:
        if self.longest is not None:
            return f"At most {self.longest} characters."
        if self.least is not None:
            return f"At least {self.least}."
        return self.limit


def _text(meaning: str, longest: int = LONGEST_ID) -> Option:
    return Option(meaning, longest=longest)


class JobOptions(TypedDict, total=False):
    """Keywords of `Submitter.submit`; an option that is None counts as not given."""

    tenant: Annotated[str | None, _text("Tenant that owns the job; the same idempotency key differs between tenants.")]
    lane: Annotated[Lane | str | None, Option("Lane: live, or bulk for large batches, which never delay live jobs.")]
    idempotency_key: Annotated[str | None, _text("Submitting again with the same key makes no second job.")]
    deadline: Annotated[datetime | None, Option("Time, with zone, after which the job ends as EXPIRED.")]
    not_before: Annotated[
        datetime | None,
        Option(
            "Time, with zone, before which the job does not start. A past time means at once.",
            limit="At most 13 days ahead.",
            default="at once",
        ),
    ]
    order_key: Annotated[
        str | None, _text("Jobs with the same key share a partition, so that a processor can run them in order.")
    ]
    model_version: Annotated[
        str | None,
        Option("Version of the processor that must run the job.", longest=LONGEST_ID, default="the current version"),
    ]
    max_attempts: Annotated[int, Option("Attempts before a retryable failure is final, at most 100.", least=1)]
    soft_limit_ms: Annotated[
        int | None,
        Option("Milliseconds after which the job is asked to stop.", least=1, default="the processor's limit"),
    ]
    hard_limit_ms: Annotated[
        int | None, Option("Milliseconds after which its process is killed.", least=1, default="the processor's limit")
    ]
    callback_url: Annotated[
        str | None,
        _text("URL that receives the outcome in a POST; signed if SLUICE_CALLBACK_SECRETS is set.", LONGEST_URL),
    ]
    callback_profile: Annotated[
        str | None, _text("Name of the callback profile: the shape of the body (docs/callbacks.md).")
    ]
    external_id: Annotated[str | None, _text("Your own id for the job, stored with it.")]
    case_id: Annotated[str | None, _text("Case the job belongs to.")]
    upload_id: Annotated[str | None, _text("Upload the job works on.")]
    batch_id: Annotated[str | None, _text("Name shared by many jobs, to cancel them together.")]
    parent_job_id: Annotated[str | None, _text("Job that this one continues.")]
    replay_id: Annotated[str | None, _text("Replay that the job is part of.")]
    labels: Annotated[
        Mapping[str, str] | None,
        Option(
            "Names and texts stored with the job.",
            limit=f"At most {MOST_LABELS}; names of {LONGEST_ID} characters, texts of {LONGEST_LABEL}.",
        ),
    ]
    mode: Annotated[str, Option("Only live is offered yet.", choices=(Mode.LIVE,))]
    custody: Annotated[str, Option("Set by the processor's contract: offset or lease.")]
    run: Annotated[int, Option("Set by redrives; a new job is run 0.", choices=(0,))]
    attempt: Annotated[int, Option("Set by retries; a new job is attempt 1.", choices=(1,))]


#: Every option by name.
OPTIONS: Mapping[str, Option] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(JobOptions, include_extras=True).items()
}
_DEFAULTS = {field.name: field.default for field in fields(JobHeader) if isinstance(field.default, str | int)}


def describe(name: str) -> str:
    """Return an option's meaning, limit and default as sentences, for a command's help."""
    option = OPTIONS[name]
    default = f"Default: {_DEFAULTS.get(name, option.default)}."
    return " ".join(part for part in (option.meaning, option.limits(), default) if part)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that no job has, with the nearest name, or for a value beyond its limits."""
    for name, value in options.items():
        option = OPTIONS.get(name)
        if option is None:
            raise _unknown_option(name)
        if value is not None:
            option.check(name, value)
    if labels := options.get("labels"):
        _check_labels(labels)


def _unknown_option(name: str) -> UsageError:
    near = difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return UsageError(f"Unknown job option {name[:60]!r}.", next_step=f"{hint}Options: {', '.join(OPTIONS)}.")


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, Mapping):
        raise UsageError(f"labels is a {type(labels).__name__}; it takes names and texts.")
    if len(labels) > MOST_LABELS:
        raise UsageError(f"There are {len(labels)} labels; a job has {MOST_LABELS} at most.")
    for name, value in labels.items():
        _check_text("The name of a label", name, LONGEST_ID)
        _check_text(f"The label {name!r}", value, LONGEST_LABEL)


def _check_number(name: str, value: Any, least: int) -> None:
    if type(value) is not int:  # True is an int too
        raise UsageError(f"{name} is a {type(value).__name__}; it takes a whole number.")
    if value < least:
        raise UsageError(f"{name} must be at least {least}, it is {value!r}.")
    if value > LARGEST_NUMBER:
        raise UsageError(f"{name} is too large; it is {LARGEST_NUMBER} at most.")


def _check_text(what: str, value: Any, longest: int) -> None:
    """Raise UsageError unless Postgres and UTF-8 can hold the text and an index has room for it."""
    if not isinstance(value, str):
        raise UsageError(f"{what} is a {type(value).__name__}; it takes a text.")
    if len(value) > longest:
        raise UsageError(f"{what} has {len(value)} characters; it has {longest} at most.")
    if "\0" in value:
        raise UsageError(f"{what} contains a NUL, which the database can't hold.")
    try:
        value.encode()  # costs nothing for ASCII
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} contains half a surrogate pair, which is not valid text.") from error
