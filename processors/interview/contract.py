"""The contracts of `question` and `evaluate`: their inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from schemas.contract import ProcessorContract

_AVRO = Path(__file__).parent / "avro"


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    """Short texts from a résumé, the most important first. Templates are filled with them, and a language model reads them.

    The n-th position was held at the n-th company. Leave out what questions should not mention: no name, address or date is
    needed.
    """

    positions: list[str] = field(default_factory=list)
    companies: list[str] = field(default_factory=list)
    skills: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    education: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question of the interview so far. `order` counts from 1; the scenario says which stage that is, not `stage`.

    `answer`: None or empty while there is none, for instance because speech to text is down; the interview goes on.
    """

    order: int
    text: str
    answer: str | None = None
    question_type: str = ""
    stage: str = ""


@dataclass(frozen=True, slots=True)
class QuestionInput:
    """`mode`: `next` for the question after `asked`, `set` for a whole interview.

    `scenario`: a scenario's name; empty: the shipped one of `language` (`en` or `ko`). `role`: the position applied for.
    `count`: questions of the whole interview, 0 for as many as the scenario has. Give the same count with every call of an
    interview, because it decides how many questions each stage gets.
    """

    mode: str = "next"
    scenario: str = ""
    language: str = "en"
    role: str = ""
    facts: CandidateFacts | None = None
    asked: list[AskedQuestion] = field(default_factory=list)
    count: int = 0


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question as a backend stores it.

    `source`: `template` (a scenario's text, filled with facts), `retrieval` (from the bank, by similarity), `llm` (a language
    model's), or `fallback`: a language model is set but failed, `reason` says how, and the text is the template's or the
    bank's.
    """

    order: int
    question_type: str
    stage: str
    text: str
    source: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class QuestionOutput:
    """`questions`: one in mode `next`, none once the scenario is complete; all of them in mode `set`.

    `complete`: no question follows these. `total`: questions of the whole interview. `model`: the language model's name if
    one is set.
    """

    questions: list[QuestionRow]
    complete: bool
    total: int
    scenario: str
    language: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class EvaluateInput:
    """`language`: `en`, `ko`, or `auto` to take that of the question. `role`: the position applied for."""

    question: str
    answer: str
    role: str = ""
    language: str = "auto"


@dataclass(frozen=True, slots=True)
class EvaluateOutput:
    """Scores from 0 to 100. None: could not be scored, `warnings` says why (another language than the question's).

    `method`: `heuristic` (similarity, breadth of words and form; it does not understand the answer), `llm`, or `fallback`: a
    language model is set but failed, `reason` says how, and the scores are the heuristic's. `feedback`: sentences in the
    question's language. `overall`: the weighted mean.
    """

    relevance: int | None
    coverage: int | None
    structure: int | None
    overall: int | None
    feedback: list[str]
    method: str
    language: str
    warnings: list[str]
    reason: str | None = None
    model: str | None = None


QUESTION: ProcessorContract[QuestionInput, QuestionOutput] = ProcessorContract(
    "question", QuestionInput, QuestionOutput, _AVRO
)
EVALUATE: ProcessorContract[EvaluateInput, EvaluateOutput] = ProcessorContract(
    "evaluate", EvaluateInput, EvaluateOutput, _AVRO
)
