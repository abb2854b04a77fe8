"""Conversations as `question` prompts them, for the tiny model: whole interviews of the shipped scenarios, with made-up facts.

The answer is one of two questions of the bank for the stage: the second if the interview's last question is the first one. In
its few steps the model learns the form of such a prompt and of its answer, and hardly to tell the stages apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from processors.interview.asking import messages
from processors.interview.bank import bank, pairs
from processors.interview.choosing import Conversation as Interview
from processors.interview.contract import AskedQuestion, CandidateFacts
from processors.interview.scenario import InterviewStage, filled_templates, plan, read_scenarios
from processors.language.model import ChatMessage
from processors.language.tiny_data import TOPICS, Conversation

#: Of questions in the history that are not the model's own, and of questions that have an answer: as shares.
FOREIGN, ANSWERED = 0.3, 0.15


def interviews(count: int, seed: int) -> Iterator[Conversation]:
    """Return a conversation for each question that is not fixed, of `count` interviews in each language."""
    chance = random.Random(seed)  # noqa: S311 - an order, not a secret
    for scenario in read_scenarios(None).values():
        texts = [text for topic in bank(scenario.language) for text in topic.questions]
        answers = [answer for _, answer in pairs(scenario.language)]
        for _ in range(count):
            talk = Interview(scenario, f"{chance.choice(TOPICS['en'])} engineer", _facts(scenario.language, chance), [])
            for order, stage in enumerate(plan(scenario), 1):
                if stage.fixed:
                    asked = filled_templates(stage, None, "")[order - 1]
                else:
                    asked = own_question(talk, stage)
                    yield [*messages(talk, stage), ChatMessage("assistant", asked)]
                    asked = chance.choice(texts) if chance.random() < FOREIGN else asked
                answer = chance.choice(answers) if chance.random() < ANSWERED else None
                talk.asked.append(AskedQuestion(order, asked, answer))


def own_question(talk: Interview, stage: InterviewStage) -> str:
    """Return the question that the model is taught to ask next."""
    questions = next(topic.questions for topic in bank(talk.scenario.language) if topic.name == stage.topics[0])
    return questions[1] if talk.asked[-1].text == questions[0] else questions[0]


def _facts(language: str, chance: random.Random) -> CandidateFacts | None:
    if chance.random() < FOREIGN:
        return None
    skills = chance.sample(TOPICS[language], 3)
    return CandidateFacts([f"{skills[0]} engineer"], ["Acme"], skills, [skills[1]])
