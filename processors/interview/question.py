"""The processor `question`: the next question of an interview, or a whole set, by the stages of its scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from processors.interview.asking import ask
from processors.interview.choosing import FALLBACK, LLM, Conversation, conversation, default_question
from processors.interview.contract import QuestionInput, QuestionOutput, QuestionRow
from processors.interview.loading import INTERVIEW_OPTIONS, load_affinities, unserved_language
from processors.interview.scenario import (
    MOST_QUESTIONS,
    InterviewStage,
    Scenario,
    known_topics,
    next_order,
    next_stage,
    plan,
    read_scenarios,
)
from processors.language.loading import LANGUAGE_OPTIONS, open_language_model
from processors.language.model import LanguageModel, ModelAnswerInvalid, ModelUnavailable
from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput, JobCancelled, JobError

MODES = ("next", "set")
#: Questions of the interview so far that a job may give. The bank has more, so a question is always left.
MOST_ASKED = 2 * MOST_QUESTIONS


@dataclass(frozen=True, slots=True)
class PlannedQuestions:
    """A checked job. `orders`: those of the questions to make. `stages`: of every question of the interview."""

    talk: Conversation
    stages: tuple[InterviewStage, ...]
    orders: Sequence[int]
    ctx: JobContext


@dataclass(slots=True)
class _ModelState:
    """The language model during one job. Once it does not answer, it is not asked again. `wrote`: it streamed something."""

    model: LanguageModel | None
    failed: str | None = None
    wrote: bool = field(default=False)


class Question:
    name = "question"
    version = "1.0"
    request = QuestionInput
    result = QuestionOutput
    options = ("SCENARIOS_DIR", *INTERVIEW_OPTIONS, *LANGUAGE_OPTIONS)
    # One at a time: a language model answers one thread. More workers answer more interviews at once.
    policy = Policy(batch=Batch(max_size=1), limits=Limits(soft_ms=600_000, hard_ms=630_000))
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        folder = ctx.option("SCENARIOS_DIR")
        self.scenarios = read_scenarios(Path(folder) if folder else None)
        for scenario in self.scenarios.values():
            known_topics(scenario)
        self.affinities, self.model_sha256 = load_affinities(ctx)
        self.model = open_language_model(ctx)

    def prepare(self, job: Job[QuestionInput], ctx: JobContext) -> PlannedQuestions:
        given = job.input
        if given.mode not in MODES:
            raise InvalidInput(f"mode is {given.mode[:20]!r}; it is next or set.")
        scenario = self._scenario(given)
        if len(given.asked) > MOST_ASKED or any(not 1 <= each.order <= MOST_ASKED for each in given.asked):
            raise InvalidInput(f"asked may have {MOST_ASKED} questions, with orders from 1 to {MOST_ASKED}.")
        talk, stages = conversation(given, scenario), plan(scenario, given.count)
        orders: Sequence[int] = range(1, len(stages) + 1)
        if given.mode == "next":
            orders = [next_order(given.asked)] if next_stage(scenario, given.asked, given.count) else []
        return PlannedQuestions(talk, stages, orders, ctx)

    def run(self, items: Sequence[PlannedQuestions]) -> Sequence[list[QuestionRow] | JobError]:
        made: list[list[QuestionRow] | JobError] = []
        for item in items:
            try:
                made.append(self._questions(item))
            except JobCancelled as cancelled:
                made.append(cancelled)
        return made

    def finish(self, job: Job[QuestionInput], raw: list[QuestionRow], ctx: JobContext) -> QuestionOutput:
        scenario = self._scenario(job.input)
        total = len(plan(scenario, job.input.count))
        return QuestionOutput(
            questions=raw,
            complete=not raw or raw[-1].order == total,
            total=total,
            scenario=scenario.name,
            language=scenario.language,
            model=self.model.name if self.model else None,
        )

    def _scenario(self, given: QuestionInput) -> Scenario:
        name = given.scenario or f"general-{given.language}"
        scenario = self.scenarios.get(name)
        if scenario is None:
            raise InvalidInput(
                f"There is no scenario {name[:60]!r}.", next_step=f"Known: {', '.join(sorted(self.scenarios))}."
            )
        if scenario.language not in self.affinities:
            raise unserved_language(scenario.language, self.affinities)
        return scenario

    def _questions(self, item: PlannedQuestions) -> list[QuestionRow]:
        state = _ModelState(self.model)
        rows = []
        for number, order in enumerate(item.orders):
            item.ctx.progress(item.stages[order - 1].name, 100.0 * number / len(item.orders))
            rows.append(self._question(item, order, state))
            item.talk.add(order, rows[-1].text)
        return rows

    def _question(self, item: PlannedQuestions, order: int, state: _ModelState) -> QuestionRow:
        """Return the model's question, if there is a model and it gives one, else the default's. Raises JobCancelled."""
        stage, reason = item.stages[order - 1], state.failed
        opens = order == 1 or item.stages[order - 2].name != stage.name
        if state.model is not None and not stage.fixed and reason is None:
            if state.wrote:
                item.ctx.stream_text("\n")
            state.wrote = True
            try:
                text, reason = ask(state.model, item.talk, stage, item.ctx.stream_text, item.ctx.cancelled)
            except (ModelUnavailable, ModelAnswerInvalid) as error:
                text, reason = "", error.reason
                state.failed = reason if isinstance(error, ModelUnavailable) else None
            if reason is None:
                return QuestionRow(order, stage.question_type, stage.name, text, LLM)
        if item.ctx.cancelled():
            raise JobCancelled("Stopped between two questions.")
        text, source = default_question(item.talk, stage, opens=opens, affinities=self.affinities)
        fell_back = reason is not None and not stage.fixed
        return QuestionRow(
            order,
            stage.question_type,
            stage.name,
            text,
            FALLBACK if fell_back else source,
            reason if fell_back else None,
        )
