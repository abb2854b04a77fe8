"""An interview's scenario: its stages in order, as data. A question's order alone decides its stage, so none can be skipped.

A scenario is a JSON file (docs/contracts/interview_scenario.schema.json). Two ship, one a language; more come from the folder
that the option SCENARIOS_DIR names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from processors.interview.bank import bank
from processors.interview.contract import AskedQuestion, CandidateFacts
from schemas.errors import InvalidInput, StartupError

SHIPPED = Path(__file__).parent / "scenarios"
#: Questions at the start that are always templates.
OPENING_QUESTIONS = 2
MOST_QUESTIONS = 50
#: In templates; each is filled with one of the candidate's facts, or with the role.
PLACEHOLDERS = ("role", "position", "company", "skill", "project", "education")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")]
_Text = Annotated[str, Field(min_length=1, max_length=500)]


class InterviewStage(BaseModel):
    """A part of an interview.

    `fixed`: its questions are templates always, in their order, without a language model. Else the first question of the stage
    is a template, and the ones after it follow from the last answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: _Name
    #: As a backend stores it with each question.
    question_type: _Name
    #: Number of questions, from 1 to 20.
    questions: Annotated[int, Field(ge=1, le=20)] = 1
    fixed: bool = False
    #: With `{skill}` and the like (PLACEHOLDERS); a template whose placeholder has no fact is left out.
    templates: Annotated[list[_Text], Field(max_length=50)] = Field(default_factory=list)
    #: Topics of the bank of questions from which follow-up questions are retrieved; empty: all of them.
    topics: Annotated[list[_Name], Field(max_length=50)] = Field(default_factory=list)
    #: For a language model: what the stage is about.
    instruction: Annotated[str, Field(max_length=1000)] = ""

    @model_validator(mode="after")
    def _templates_can_be_filled(self) -> Self:
        unknown = {name for text in self.templates for name in placeholders(text)} - set(PLACEHOLDERS)
        if unknown:
            raise ValueError(f"unknown placeholder {{{min(unknown)}}} in a template; known: {', '.join(PLACEHOLDERS)}")
        plain = len({text for text in self.templates if not placeholders(text)})
        if self.fixed and plain < self.questions:
            raise ValueError(
                f"a fixed stage needs {self.questions} different templates without placeholders, has {plain}"
            )
        return self


class Scenario(BaseModel):
    """Stages in the order in which an interview passes them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, title="Scenario of an interview")

    name: _Name
    language: Literal["en", "ko"]
    stages: Annotated[list[InterviewStage], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _begins_with_templates(self) -> Self:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError("two stages have the same name")
        opening = [stage.fixed for stage in self.stages for _ in range(stage.questions)][:OPENING_QUESTIONS]
        if opening != [True] * OPENING_QUESTIONS:
            raise ValueError(f"the first {OPENING_QUESTIONS} questions must be those of fixed stages")
        if (total := sum(stage.questions for stage in self.stages)) > MOST_QUESTIONS:
            raise ValueError(f"{total} questions; at most {MOST_QUESTIONS}")
        return self


def placeholders(template: str) -> list[str]:
    """Return the names in braces, in their order."""
    return _PLACEHOLDER.findall(template)


def plan(scenario: Scenario, count: int = 0) -> tuple[InterviewStage, ...]:
    """Return the stage of each question of an interview, in order. `count`: number of questions; 0: as the scenario says.

    Fixed stages keep their number. Of the others, the stages with the fewest or most questions grow or shrink, each to one
    question at least. Raises InvalidInput for a count that would leave out a stage, or that is too large.
    """
    numbers = [stage.questions for stage in scenario.stages]
    loose = [place for place, stage in enumerate(scenario.stages) if not stage.fixed]
    smallest = sum(1 if place in loose else number for place, number in enumerate(numbers))
    largest = MOST_QUESTIONS if loose else smallest
    if count and not smallest <= count <= largest:
        raise InvalidInput(
            f"count is {count}; an interview of the scenario {scenario.name!r} has {smallest} to {largest} questions, "
            "so that no stage is left out.",
            next_step="Give 0 for as many as the scenario has.",
        )
    while count and sum(numbers) != count:
        change = 1 if sum(numbers) < count else -1
        numbers[min(loose, key=lambda place: change * numbers[place])] += change
    return tuple(stage for stage, number in zip(scenario.stages, numbers, strict=True) for _ in range(number))


def next_order(asked: Iterable[AskedQuestion]) -> int:
    """Return the order of the next question: the first, from 1, that was not asked."""
    orders = {question.order for question in asked}
    return next(order for order in range(1, len(orders) + 2) if order not in orders)


def next_stage(scenario: Scenario, asked: Sequence[AskedQuestion], count: int = 0) -> InterviewStage | None:
    """Return the stage of the next question; None once all have been asked. Raises as `plan`.

    Only the orders of `asked` count, not the stages that a caller gives with them: whatever is sent, the first question that
    is missing comes next.
    """
    stages, order = plan(scenario, count), next_order(asked)
    return stages[order - 1] if order <= len(stages) else None


def known_topics(scenario: Scenario) -> None:
    """Raise StartupError if a stage names a topic that the bank of the scenario's language lacks."""
    known = {topic.name for topic in bank(scenario.language)}
    for stage in scenario.stages:
        if unknown := set(stage.topics) - known:
            raise StartupError(
                f"The stage {stage.name!r} of the scenario {scenario.name!r} names the unknown topic {min(unknown)!r}.",
                next_step=f"Known: {', '.join(sorted(known))}.",
            )


def filled_templates(stage: InterviewStage, facts: CandidateFacts | None, role: str) -> list[str]:
    """Return the stage's templates with facts put in: those with the most facts first, in a fixed stage as
    they are written. Each fact of a kind gives one text."""
    facts = facts or CandidateFacts()
    values: Mapping[str, list[str]] = {
        "role": [role],
        "position": facts.positions,
        "company": facts.companies,
        "skill": facts.skills,
        "project": facts.projects,
        "education": facts.education,
    }
    known = {name: [fact for each in texts if (fact := _fact(each))] for name, texts in values.items()}
    texts: list[tuple[int, str]] = []
    for template in stage.templates:
        names = placeholders(template)
        rounds = min((len(known[name]) for name in names), default=1)
        texts.extend((-len(names), _filled(template, known, place)) for place in range(rounds))
    return [text for _, text in (texts if stage.fixed else sorted(texts, key=lambda each: each[0]))]


def _filled(template: str, facts: Mapping[str, list[str]], place: int) -> str:
    return _PLACEHOLDER.sub(lambda found: facts[found[1]][place], template)


def read_scenarios(folder: Path | None) -> dict[str, Scenario]:
    """Return the shipped scenarios and those in `folder` (`*.json`) by name; a name in `folder` replaces a shipped one.

    Raises StartupError, which names the file and what is wrong in it.
    """
    found = _read_folder(SHIPPED)
    if folder is not None:
        if not folder.is_dir():
            raise StartupError(
                f"The folder of scenarios {folder} does not exist.",
                next_step="Correct SCENARIOS_DIR, or leave it out to use the shipped scenarios.",
            )
        found |= _read_folder(folder)
    return found


def _read_folder(folder: Path) -> dict[str, Scenario]:
    found: dict[str, Scenario] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            scenario = Scenario.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise StartupError(
                f"{path} is no scenario: {place}: {first['msg']} ({error.error_count()} errors).",
                next_step="docs/contracts/interview_scenario.schema.json describes the format.",
            ) from error
        except OSError as error:
            raise StartupError(f"{path} can't be read: {error.strerror}.") from error
        if scenario.name in found:
            raise StartupError(f"Two scenarios in {folder} have the name {scenario.name!r}.")
        found[scenario.name] = scenario
    return found


def _fact(text: str) -> str:
    """Return a fact on one line, 80 characters at most; empty for text without any word."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line[:80].strip() if re.search(r"\w", line) else ""
