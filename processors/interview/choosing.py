"""The honest default of `question`: templates filled with facts, and questions of the bank that follow from the last answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from processors.interview.bank import bank
from processors.interview.contract import AskedQuestion, CandidateFacts, QuestionInput
from processors.interview.scenario import InterviewStage, Scenario, filled_templates
from processors.interview.similarity import Affinity
from processors.interview.texts import cleaned, language_of, one_line, same_text
from schemas.errors import InvalidInput

TEMPLATE, RETRIEVAL, LLM, FALLBACK = "template", "retrieval", "llm", "fallback"


@dataclass(slots=True)
class Conversation:
    """An interview as far as it has come. `used`: keys of its questions (`same_text`), which are not asked again."""

    scenario: Scenario
    role: str
    facts: CandidateFacts | None
    asked: list[AskedQuestion]
    used: set[str] = field(default_factory=set)

    def add(self, order: int, text: str) -> None:
        """Append a question that has just been asked."""
        self.asked.append(AskedQuestion(order, text))
        self.used.add(same_text(text))

    def last_answer(self) -> str:
        """Return the answer to the question with the highest order; empty if there is none in the scenario's language."""
        last = max(self.asked, key=lambda question: question.order, default=None)
        answer = (last.answer if last else None) or ""
        return answer if language_of(answer) in ("", self.scenario.language) else ""


def conversation(given: QuestionInput, scenario: Scenario) -> Conversation:
    """Return the interview of a job, its texts cleaned."""
    asked = [
        AskedQuestion(
            each.order, one_line(cleaned(each.text)), cleaned(each.answer or ""), each.question_type, each.stage
        )
        for each in given.asked
    ]
    used = {same_text(each.text) for each in asked}
    return Conversation(scenario, one_line(cleaned(given.role, 80)), given.facts, asked, used)


def default_question(
    talk: Conversation, stage: InterviewStage, *, opens: bool, affinities: Mapping[str, Affinity]
) -> tuple[str, str]:
    """Return the text of the stage's next question and its source. `opens`: it is the first one of its stage.

    A stage opens with a template; questions of the bank follow from answers, so without an answer templates come first.
    Deterministic. Never repeats a question of the interview: case, spaces and punctuation aside. Raises InvalidInput if all
    questions of the bank have been asked.
    """
    templates = [text for text in filled_templates(stage, talk.facts, talk.role) if same_text(text) not in talk.used]
    if templates and (stage.fixed or opens or not talk.last_answer()):
        return templates[0], TEMPLATE
    topics = set(stage.topics)
    all_topics = bank(talk.scenario.language)
    for chosen in ([each for each in all_topics if each.name in topics], all_topics):
        texts = [text for topic in chosen for text in topic.questions if same_text(text) not in talk.used]
        if texts:
            return _nearest(texts, talk, affinities[talk.scenario.language]), RETRIEVAL
        if templates:
            return templates[0], TEMPLATE
    raise InvalidInput("Every question of the bank has been asked in this interview.", next_step="End the interview.")


def _nearest(texts: Sequence[str], talk: Conversation, affinity: Affinity) -> str:
    """Return the text with the highest affinity to the last answer, or to the facts if there is no answer; else the first."""
    about = talk.last_answer() or facts_text(talk.facts, talk.role)
    return texts[int(np.argmax(affinity.of(texts, about)))] if about else texts[0]


def facts_text(facts: CandidateFacts | None, role: str) -> str:
    """Return role and facts as one text, 2,000 characters at most."""
    facts = facts or CandidateFacts()
    parts = [role, *facts.positions, *facts.projects, *facts.skills, *facts.companies, *facts.education]
    return ". ".join(text for part in parts[:60] if (text := one_line(cleaned(part, 200))))[:2000]
