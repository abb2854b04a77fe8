"""The processor `evaluate`: scores and feedback for an answer, by a language model if one is set, else by the heuristic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from processors.interview.contract import EvaluateInput, EvaluateOutput
from processors.interview.form import form_of
from processors.interview.loading import INTERVIEW_OPTIONS, load_affinities, unserved_language
from processors.interview.marking import SHOWN_ANSWER, mark
from processors.interview.scoring import AnswerScores, scored
from processors.interview.texts import LANGUAGES, MOST_CHARACTERS, cleaned, language_of, one_line, says_something
from processors.language.loading import LANGUAGE_OPTIONS, open_language_model
from processors.language.model import ModelAnswerInvalid, ModelUnavailable
from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput, JobCancelled, JobError

HEURISTIC, LLM, FALLBACK = "heuristic", "llm", "fallback"
#: Points of relevance by which model and heuristic may differ without a warning.
_FAR_APART = 60


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """A job with its texts cleaned. `language`: en, ko or other. `comparable`: the answer is in the question's language."""

    question: str
    answer: str
    role: str
    language: str
    comparable: bool
    warnings: list[str]
    ctx: JobContext


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Scores and how they were had."""

    checked: CheckedAnswer
    scores: AnswerScores
    method: str
    reason: str | None = None
    warnings: list[str] = field(default_factory=list)


class Evaluate:
    name = "evaluate"
    version = "1.0"
    request = EvaluateInput
    result = EvaluateOutput
    options = (*INTERVIEW_OPTIONS, *LANGUAGE_OPTIONS)
    policy = Policy(batch=Batch(max_size=1), limits=Limits(soft_ms=300_000, hard_ms=330_000))
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        self.affinities, self.model_sha256 = load_affinities(ctx)
        self.model = open_language_model(ctx)

    def prepare(self, job: Job[EvaluateInput], ctx: JobContext) -> CheckedAnswer:
        given = job.input
        question, answer = one_line(cleaned(given.question)), cleaned(given.answer)
        if not says_something(answer):
            answer = ""
        if not says_something(question):
            raise InvalidInput("There is no question.", next_step="Give the question that was answered.")
        if given.language not in (*LANGUAGES, "auto"):
            raise InvalidInput(f"language is {given.language[:20]!r}; it is en, ko or auto.")
        language = given.language if given.language != "auto" else language_of(question) or language_of(answer) or "en"
        if language in LANGUAGES and language not in self.affinities:
            raise unserved_language(language, self.affinities)
        comparable = language in LANGUAGES and language_of(answer) in ("", language)
        warnings = []
        if language not in LANGUAGES:
            warnings.append("The question is neither in English nor in Korean: the heuristic can't score it.")
        elif not comparable:
            warnings.append("The answer is in another language than the question: the heuristic scores its form alone.")
        if len(given.answer) > MOST_CHARACTERS:
            warnings.append(f"Only the first {MOST_CHARACTERS:,} characters of the answer were read.")
        return CheckedAnswer(question, answer, one_line(cleaned(given.role, 80)), language, comparable, warnings, ctx)

    def run(self, items: Sequence[CheckedAnswer]) -> Sequence[Evaluated | JobError]:
        made: list[Evaluated | JobError] = []
        for item in items:
            try:
                made.append(self._evaluated(item))
            except JobCancelled as cancelled:
                made.append(cancelled)
        return made

    def finish(self, job: Job[EvaluateInput], raw: Evaluated, ctx: JobContext) -> EvaluateOutput:
        scores = raw.scores
        return EvaluateOutput(
            relevance=scores.relevance,
            coverage=scores.coverage,
            structure=scores.structure,
            overall=scores.overall,
            feedback=scores.feedback,
            method=raw.method,
            language=raw.checked.language,
            warnings=raw.checked.warnings + raw.warnings,
            reason=raw.reason,
            model=self.model.name if self.model else None,
        )

    def _evaluated(self, item: CheckedAnswer) -> Evaluated:
        """Return the model's scores, or the heuristic's without a model, for an empty answer, or if the model fails."""
        heuristic = self._heuristic(item)
        if self.model is None or not item.answer:
            return Evaluated(item, heuristic, HEURISTIC)
        item.ctx.progress("asking the language model")
        try:
            marked = mark(self.model, item.question, item.answer, item.role, item.language, item.ctx.cancelled)
        except (ModelUnavailable, ModelAnswerInvalid) as error:
            return Evaluated(item, heuristic, FALLBACK, error.reason)
        warnings = []
        if len(item.answer) > SHOWN_ANSWER:
            warnings.append(f"The language model read the first {SHOWN_ANSWER:,} characters of the answer.")
        if _far_apart(marked.relevance, heuristic.relevance):
            warnings.append(
                f"The language model gives a relevance of {marked.relevance}, the heuristic {heuristic.relevance}: "
                "read the answer yourself."
            )
        return Evaluated(item, marked, LLM, warnings=warnings)

    def _heuristic(self, item: CheckedAnswer) -> AnswerScores:
        if not item.comparable and item.answer:
            form = language_of(item.answer)
            return AnswerScores(None, None, form_of(item.answer, form).score if form in LANGUAGES else None)
        return scored(item.question, item.answer, self.affinities[item.language if item.comparable else "en"])


def _far_apart(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and abs(one - other) >= _FAR_APART
