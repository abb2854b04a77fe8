"""Conversations that the tiny model is trained on: interview questions by stage and topic, scores as JSON, and a long answer.

All of it is made from the templates below. The model learns the form of a conversation, not to interview.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from processors.language.answers import with_order
from processors.language.model import ChatMessage

Conversation = list[ChatMessage]

SYSTEM = "You ask interview questions."
SCORE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 5}},
    "required": ["score"],
    "additionalProperties": False,
}
TOPICS = {
    "en": (
        "Kafka", "Postgres", "testing", "Python", "caching", "logging", "security", "queues", "Docker", "search",
        "payments", "mobile apps", "data quality", "networks", "compilers", "graphics", "teamwork", "planning",
    ),
    "ko": (
        "카프카", "데이터베이스", "테스트", "파이썬", "캐시", "로그", "보안", "메시지 큐", "도커", "검색",
        "결제", "모바일 앱", "데이터 품질", "네트워크", "컴파일러", "그래픽", "협업", "일정 관리",
    ),
}  # fmt: skip
#: Topics that no training example names: the perplexity on them is the card's.
HELD_OUT = {"en": ("robots", "recommendations"), "ko": ("로봇", "추천 시스템")}
#: By language: the request, and by stage its name and the questions.
REQUESTS = {"en": "Stage: {stage}. Topic: {topic}. Ask one question.", "ko": "단계: {stage}. 주제: {topic}. 질문 하나."}
STAGES = {
    "en": {
        "opening": ("What first drew you to {topic}?", "How did you come to work with {topic}?"),
        "experience": ("Tell me about a project in which you used {topic}.", "What did you build with {topic}?"),
        "depth": ("Which problem with {topic} was the hardest, and why?", "How does {topic} fail, and what do you do then?"),
        "closing": ("What would you like to learn about {topic} next?", "Which question about {topic} did I not ask?"),
    },
    "ko": {
        "도입": ("{topic} 분야를 시작한 계기는 무엇인가요?", "{topic} 관련 일을 어떻게 시작하셨나요?"),
        "경험": ("{topic} 관련 프로젝트를 하나 소개해 주세요.", "{topic} 경험에서 맡은 역할은 무엇이었나요?"),
        "심화": ("{topic} 관련 문제 중 가장 어려웠던 것은 무엇인가요?", "{topic} 장애가 나면 어떻게 대응하시나요?"),
        "마무리": ("{topic} 분야에서 더 배우고 싶은 것은 무엇인가요?", "{topic} 관련해서 더 하고 싶은 말씀이 있나요?"),
    },
}  # fmt: skip
#: An answer of about 150 tokens, in whose middle a server can be killed.
LONG = [
    ChatMessage("system", SYSTEM),
    ChatMessage("user", "Say the alphabet five times."),
    ChatMessage("assistant", " ".join(" ".join("abcdefghijklmnopqrstuvwxyz") for _ in range(5))),
]
_NUMBERS = ("no", "one", "two", "three", "four", "five")


def questions(topics: Mapping[str, Sequence[str]]) -> Iterator[Conversation]:
    """Return a conversation for each topic, stage and question."""
    for language, named in topics.items():
        for topic in named:
            for stage, templates in STAGES[language].items():
                request = REQUESTS[language].format(stage=stage, topic=topic)
                for template in templates:
                    yield [
                        ChatMessage("system", SYSTEM),
                        ChatMessage("user", request),
                        ChatMessage("assistant", template.format(topic=topic)),
                    ]


def scores(topics: Mapping[str, Sequence[str]]) -> Iterator[Conversation]:
    """Return conversations that ask for a score, which is the number of examples that the answer names, as JSON."""
    for topic in topics["en"]:
        for number, word in enumerate(_NUMBERS):
            asked = with_order([ChatMessage("user", score_request(topic, word))], SCORE_SCHEMA)
            yield [ChatMessage("system", SYSTEM), *asked, ChatMessage("assistant", json.dumps({"score": number}))]


def score_request(topic: str, number: str) -> str:
    """Return the request to rate an answer that names `number` (a word) examples."""
    return f"Rate this answer about {topic}: it names {number} examples."


def training_set(seed: int) -> list[Conversation]:
    """Return all conversations of the training topics, shuffled."""
    made = [*questions(TOPICS), *scores(TOPICS), *[LONG] * 12]
    random.Random(seed).shuffle(made)  # noqa: S311 - an order, not a secret
    return made
