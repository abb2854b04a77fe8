"""Bodies of `/v1/dead-letters`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from connectors.dead_letter_store import DeadLetter, DeadLetterFilter, DeadLetterGroup, LetterPlace
from connectors.replay_store import FASTEST, MOST_OPERATIONS, SLOWEST
from gateway.models import EXAMPLE_ID, EXAMPLE_TIME, Time
from schemas.errors import UsageError
from schemas.plain import json_form
from streams.dead_letters.details import LetterDetails

PLACE = r"^[0-9]{1,9}:[0-9]{1,18}$"
PLAIN = r"^[^\x00]*$"

PlaceText = Annotated[str, Field(pattern=PLACE, examples=["3:12"])]


class LetterBody(BaseModel):
    """A dead letter. `job_id`: as its record says; `job_known`: the store has that job."""

    place: str = Field(examples=["3:12"])
    at: datetime = Field(examples=[EXAMPLE_TIME])
    reason: str = Field(examples=["UNKNOWN_SCHEMA"])
    group: str = Field(examples=["1f0c9a7be2d4"])
    summary: str | None = Field(description="Its message without values.")
    processor: str = Field(examples=["echo"])
    origin: str = Field(examples=["requests.echo[3]@4711"])
    job_id: str | None = Field(examples=[EXAMPLE_ID])
    run: int | None
    job_known: bool
    bytes: int | None = Field(description="Of its value; null if it was published without its value.")
    attempts: int
    worker: str
    state: str = Field(examples=["open"], description="open, redriven or dropped")
    changed_at: datetime | None
    changed_by: str | None
    note: str | None
    replay_id: str | None

    @classmethod
    def of(cls, one: DeadLetter) -> Self:
        fields = {name: getattr(one, name) for name in cls.model_fields if name not in ("place", "group", "origin")}
        origin = f"{one.origin_topic}[{one.origin_partition}]@{one.origin_offset}"
        return cls(place=f"{one.partition}:{one.offset}", group=one.fingerprint, origin=origin, **fields)


class LetterPage(BaseModel):
    items: list[LetterBody]
    next_cursor: str | None


class LetterGroupBody(BaseModel):
    """Dead letters that failed alike. `newest`: the place of the newest one."""

    group: str = Field(examples=["1f0c9a7be2d4"])
    reason: str = Field(examples=["UNKNOWN_SCHEMA"])
    processor: str = Field(examples=["echo"])
    origin_topic: str = Field(examples=["requests.echo"])
    letters: int
    open: int
    first_at: datetime
    last_at: datetime
    newest: str = Field(examples=["3:12"])
    summary: str | None

    @classmethod
    def of(cls, one: DeadLetterGroup) -> Self:
        fields = {name: getattr(one, name) for name in cls.model_fields if name not in ("group", "newest")}
        return cls(group=one.fingerprint, newest=f"{one.partition}:{one.offset}", **fields)


class LetterGroupList(BaseModel):
    items: list[LetterGroupBody]


class LetterDetailsBody(BaseModel):
    """A dead letter with its record. Without a decoded value `undecodable` says why, and `hex` has its first bytes."""

    letter: LetterBody
    message: str
    key: str | None
    headers: dict[str, str]
    reasons: dict[str, str]
    without_value: bool
    value: Any
    undecodable: str | None
    hex: str | None
    redrivable: bool
    redrive: str = Field(description="What a redrive would do.")

    @classmethod
    def of(cls, details: LetterDetails) -> Self:
        fields = {name: getattr(details, name) for name in cls.model_fields if name not in ("letter", "value")}
        return cls(letter=LetterBody.of(details.letter), value=_jsonable(details.value), **fields)


class LetterSelection(BaseModel):
    """Which open dead letters: by their places, or by all of the other conditions."""

    model_config = ConfigDict(extra="forbid")

    places: list[PlaceText] | None = Field(None, max_length=1000, min_length=1)
    group: str | None = Field(None, pattern="^[0-9a-f]{12}$", examples=["1f0c9a7be2d4"])
    reason: str | None = Field(None, max_length=100, pattern=PLAIN, examples=["UNKNOWN_SCHEMA"])
    processor: str | None = Field(None, max_length=100, pattern=PLAIN, examples=["echo"])
    since: Time | None = None
    until: Time | None = None

    def wanted(self, tenant: str | None) -> DeadLetterFilter:
        """Return the conditions for the store. Raises UsageError if they name none, or two kinds."""
        others = (self.group, self.reason, self.processor, self.since, self.until)
        if (self.places is None) == all(other is None for other in others):
            raise UsageError(
                "Give places, or else a group, reason, processor or time.", next_step="dry_run counts first."
            )
        places = None if self.places is None else [letter_place(text) for text in self.places]
        return DeadLetterFilter(
            places, self.group, self.reason, self.processor, None, self.since, self.until, tenant=tenant
        )


class RedriveRequest(LetterSelection):
    """`edit`: a JSON patch (RFC 6902) of each input,
    without copy and move. `dry_run`: read each record, and only say what would become of it."""

    edit: list[dict[str, Any]] | None = Field(None, max_length=MOST_OPERATIONS)
    rate: StrictFloat | None = Field(100.0, ge=SLOWEST, le=FASTEST, description="Records a second; null: no limit.")
    max: StrictInt | None = Field(None, ge=1, le=100_000)
    note: str = Field("", max_length=2000, pattern=PLAIN)
    force: StrictBool = False
    dry_run: StrictBool = False


class RefusalBody(BaseModel):
    """A dead letter that can't be redriven, and why not."""

    place: str
    reason: str


class ParkedBody(BaseModel):
    """Jobs that would not run again, or do not, and why not."""

    reason: str
    jobs: int


class RedriveAnswer(BaseModel):
    """`replay_id`: null for a dry run. `checked`: records that the dry run read; `refused` is of these."""

    replay_id: str | None = Field(examples=[EXAMPLE_ID])
    letters: int
    checked: int
    refused: list[RefusalBody]
    parked: list[ParkedBody]


class DropRequest(LetterSelection):
    note: str = Field(min_length=1, max_length=2000, pattern=PLAIN, examples=["a test of ours"])


class DropAnswer(BaseModel):
    letters: int


def letter_place(text: str) -> LetterPlace:
    """Return the place that a text of the form PLACE names."""
    partition, _, offset = text.partition(":")
    return LetterPlace(int(partition), int(offset))


def _jsonable(value: Any) -> Any:
    """Convert a decoded record to what JSON can hold."""
    if isinstance(value, dict):
        return {str(name): _jsonable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_jsonable(inner) for inner in value]
    return json_form(value)
