"""The rules as data: a TOML file, checked when it is read. `checks.py` compares it with the processors' contracts.

`rules.schema.json` is made from these classes; a test compares both. docs/routing.md explains each field by example.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import UsageError
from schemas.states import Lane

#: Longest time that a join waits for its other parts: outcomes and the joins' state are kept for 30 days.
LONGEST_WAIT = timedelta(days=30)
#: Times further ahead are a mistake, and overflow at some point.
LONGEST_DEADLINE = timedelta(days=366)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
#: Names of paths that every template has, so that no source of a join may have them.
_RESERVED = ("case_id", "tenant", "upload")

RuleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


#: Globs (`*`, `?`, `[abc]`), one of which must match. Empty: any value.
Globs = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
Duration = Annotated[str, Field(pattern=rf"^{_DURATION.pattern}$")]


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as 30s, 5m, 2h or 1d."""
    match = _DURATION.fullmatch(duration)
    assert match is not None, "a Duration has been checked"
    return float(match[1]) * _UNITS[match[2]]


def _of_use(duration: str) -> str:
    if not 0 < seconds(duration) <= LONGEST_DEADLINE.total_seconds():
        raise ValueError(f"a deadline is at most {LONGEST_DEADLINE.days} days ahead, and not 0")
    return duration


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Submit(_Strict):
    """A job to submit. A text that begins with `$` is a path to a value (`$$` stands for a plain `$`)."""

    processor: str = Field(description="Name of the processor.")
    name: RuleName | None = Field(
        None, description="Distinguishes several jobs for one processor within a rule. Default: the processor's name."
    )
    input: dict[str, Any] = Field(default_factory=dict, description="The job's input: literals and paths.")
    lane: Lane = Field(Lane.LIVE, description="live, or bulk for work that must never delay live jobs.")
    deadline: Annotated[Duration, AfterValidator(_of_use)] | None = Field(
        None, description="Time limit, counted from the moment of routing: 30s, 5m, 2h, 1d. Default: none."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the job; texts or paths.")
    callback_url: str | None = None
    callback_profile: str | None = None
    order_key: str | None = Field(None, description="A text or a path, such as $case_id.")
    external_id: str | None = Field(None, description="A text or a path.")
    model_version: str | None = None
    max_attempts: int | None = None
    soft_limit_ms: int | None = None
    hard_limit_ms: int | None = None

    @property
    def key(self) -> str:
        """The name of this job within its rule. Part of the job's id."""
        return self.name or self.processor


class UploadMatch(_Strict):
    """Conditions on an upload; all that are given must hold."""

    kind: Globs = Field(default_factory=list, description="Type of the content, as the uploader named it.")
    content_type: Globs = Field(default_factory=list, description="Content type, without its parameters.")
    filename: Globs = Field(default_factory=list, description="Name of the file, in any case.")
    source: Globs = Field(default_factory=list, description="Program that announced the upload.")
    labels: dict[Annotated[str, Field(min_length=1)], Globs] = Field(
        default_factory=dict, description="Labels that the upload must have, each with its globs."
    )
    min_size: int = Field(0, ge=0, description="Smallest size in bytes.")
    max_size: int | None = Field(None, ge=0, description="Largest size in bytes. Default: any.")


class _Rule(_Strict):
    name: RuleName
    tenant: Globs = Field(default_factory=list, description="Tenants it is for. Default: all.")
    submit: list[Submit] = Field(min_length=1)


class UploadRule(_Rule, UploadMatch):
    """Submits jobs for each upload that matches. Several rules may match one upload."""


class Source(_Strict):
    """A part of a join: a completed job of a processor, or an upload."""

    processor: str | None = None
    upload: UploadMatch | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        if (self.processor is None) == (self.upload is None):
            raise ValueError("give either a processor or an upload")
        return self


class JoinRule(_Rule):
    """Submits jobs once all its sources are there for one case of one tenant."""

    of: dict[SourceName, Source] = Field(min_length=2, description="The parts, by the name that paths begin with.")
    within: Duration = Field("30d", description="How long a case's parts are kept for the next one, at most 30d.")
    replays: bool = Field(False, description="True: completed replays count like live jobs.")

    @model_validator(mode="after")
    def _usable(self) -> JoinRule:
        if taken := [name for name in self.of if name in _RESERVED]:
            raise ValueError(f"a source can't be called {taken[0]!r}")
        if seconds(self.within) > LONGEST_WAIT.total_seconds():
            raise ValueError(f"within is at most {LONGEST_WAIT.days}d")
        return self


class Rules(_Strict):
    """A whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Routing rules of sluice")

    upload: list[UploadRule] = Field(default_factory=list)
    join: list[JoinRule] = Field(default_factory=list)

    @model_validator(mode="after")
    def _distinct(self) -> Rules:
        rules: list[_Rule] = [*self.upload, *self.join]
        if not rules:
            raise ValueError("there is no rule: write [[upload]] or [[join]]")
        names = [rule.name for rule in rules]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two rules are called {twice[0]!r}")
        for rule in rules:
            keys = [submit.key for submit in rule.submit]
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise ValueError(f"rule {rule.name!r} has two jobs called {twice[0]!r}; give one of them a name")
        return self

    @property
    def reads_uploads(self) -> bool:
        return bool(self.upload) or any(source.upload for join in self.join for source in join.of.values())

    @property
    def processors(self) -> list[str]:
        """Return the processors whose outcomes the rules read, sorted."""
        return sorted({s.processor for join in self.join for s in join.of.values() if s.processor is not None})


def read_rules(path: Path) -> Rules:
    """Read a file of rules. Raises UsageError that names the file, the rule and the field, for each mistake."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UsageError(f"The rules {path} can't be read: {reason}.", next_step=_SETTING) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The rules {path} are not TOML: {error}.", next_step=_GUIDE) from error
    except RecursionError as error:
        raise UsageError(f"The rules {path} are nested too deeply.", next_step=_GUIDE) from error
    try:
        return Rules.model_validate(document)
    except ValidationError as error:
        raise mistakes(path, [_mistake(document, one) for one in error.errors()]) from None


def mistakes(path: Path, found: list[str]) -> UsageError:
    """Return one error for all mistakes in a file."""
    return UsageError("\n".join(f"{path}: {each}" for each in found), next_step=_GUIDE)


def schema_text() -> str:
    """Return the JSON schema of the file, for editors."""
    return json.dumps(Rules.model_json_schema(), indent=2) + "\n"


_GUIDE = "docs/routing.md explains every field."
_SETTING = "SLUICE_ROUTER_RULES names the file."


def _mistake(document: dict[str, Any], error: Any) -> str:
    """Return where the mistake is, in the words of the file, and what it is."""
    place = list(error["loc"])
    where = []
    if len(place) > 1 and place[0] in ("upload", "join") and isinstance(place[1], int):
        rule = document[place[0]][place[1]]
        name = rule.get("name") if isinstance(rule, dict) else None
        where.append(f"{place[0]} rule {name!r}" if isinstance(name, str) else f"{place[0]} rule {place[1] + 1}")
        place = place[2:]
    if place:
        where.append(field_name(place))
    return f"{', '.join(where) or 'the file'}: {_reason(error)}."


def _reason(error: Any) -> str:
    if error["type"] != "extra_forbidden":
        return str(error["msg"]).removeprefix("Value error, ")
    place = [part for part in error["loc"] if isinstance(part, str)]
    known = Rules.model_fields if len(place) == 1 else _FIELDS
    near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.7)
    return "there is no such field" + (f" (did you mean {near[0]!r}?)" if near else "")


#: Fields below the file's top.
_FIELDS = sorted({name for model in (UploadRule, JoinRule, Source, Submit) for name in model.model_fields})


def field_name(place: list[str | int]) -> str:
    """Return a place in the file as a person writes it: submit 2, input.volume."""
    text = ""
    for part in place:
        text += f" {part + 1}" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text
