"""The default's questions: templates first, then the bank by the last answer, never one twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from processors.interview.bank import bank
from processors.interview.contract import QUESTION, AskedQuestion, CandidateFacts, QuestionInput, QuestionOutput
from processors.interview.question import MOST_ASKED, Question
from processors.interview.scenario import plan
from processors.interview.texts import same_text
from processors.local import LocalLoadContext, run_one
from processors.protocol import Processor
from schemas.errors import InvalidInput, StartupError
from schemas.states import State
from streams.testing import Flow

FACTS = CandidateFacts(
    positions=["Backend engineer"], companies=["Acme"], skills=["Kafka", "Python"], projects=["payment ledger"]
)
CONFLICT = "My colleague and I disagreed about the date. I listened to her, we talked it over and found a compromise."


def asked(*answers: str | None) -> list[AskedQuestion]:
    return [AskedQuestion(order, f"Question {order}?", answer) for order, answer in enumerate(answers, 1)]


def one(question: Question, given: QuestionInput, folder: Path) -> QuestionOutput:
    made = run_one(question, given, folder)
    assert isinstance(made, QuestionOutput)
    return made


def test_question_is_a_processor(question: Question) -> None:
    assert isinstance(question, Processor)
    assert len(question.model_sha256) == 64


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_bank_has_at_least_120_different_questions(language: str) -> None:
    texts = {same_text(text) for topic in bank(language) for text in topic.questions}
    assert len(texts) == sum(len(topic.questions) for topic in bank(language)) >= 120


@pytest.mark.parametrize("language", ["en", "ko"])
def test_an_interview_passes_every_stage_and_repeats_nothing(question: Question, language: str, tmp_path: Path) -> None:
    so_far: list[AskedQuestion] = []
    answer = CONFLICT if language == "en" else "동료와 다투었습니다."
    rows = []
    complete = False
    while not complete:
        made = one(question, QuestionInput(language=language, facts=FACTS, asked=so_far), tmp_path)
        complete = made.complete
        rows += made.questions
        so_far.append(AskedQuestion(rows[-1].order, rows[-1].text, answer))
    stages = plan(question.scenarios[f"general-{language}"])
    assert [(row.order, row.stage, row.question_type) for row in rows] == [
        (order, stage.name, stage.question_type) for order, stage in enumerate(stages, 1)
    ]
    assert [row.source for row in rows[:2]] == ["template", "template"]
    assert {row.source for row in rows} == {"template", "retrieval"}
    assert len({same_text(row.text) for row in rows}) == len(rows)
    assert "payment ledger" in rows[2].text or "Acme" in rows[2].text
    after = one(question, QuestionInput(language=language, asked=so_far), tmp_path)
    assert (after.questions, after.complete) == ([], True)


@pytest.mark.parametrize("count", [0, 7, 25])
def test_a_set_has_every_stage_and_repeats_nothing(question: Question, count: int, tmp_path: Path) -> None:
    made = one(question, QuestionInput("set", facts=FACTS, role="Data engineer", count=count), tmp_path)
    assert len(made.questions) == (count or 10) == made.total
    assert made.complete
    assert [row.order for row in made.questions] == list(range(1, made.total + 1))
    assert len({same_text(row.text) for row in made.questions}) == made.total
    assert list(dict.fromkeys(row.stage for row in made.questions)) == [
        stage.name for stage in question.scenarios["general-en"].stages
    ]


def test_the_follow_up_fits_the_last_answer(question: Question, tmp_path: Path) -> None:
    """The eighth question is the second of its stage, so it comes from the bank."""
    topics = {text: topic.name for topic in bank("en") for text in topic.questions}
    for answer, topic in ((CONFLICT, "conflict"), ("I led the group, delegated the work and set goals.", "leadership")):
        (row,) = one(question, QuestionInput(asked=asked(*["x"] * 6, answer)), tmp_path).questions
        assert (row.source, topics[row.text]) == ("retrieval", topic)


def test_a_korean_follow_up_fits_the_last_answer(question: Question, tmp_path: Path) -> None:
    topics = {text: topic.name for topic in bank("ko") for text in topic.questions}
    answer = "동아리 회장으로서 목표를 세우고 후배들에게 일을 맡기며 팀을 이끌었습니다."
    (row,) = one(question, QuestionInput(language="ko", asked=asked(*["네"] * 6, answer)), tmp_path).questions
    assert (row.source, topics[row.text]) == ("retrieval", "leadership")


@pytest.mark.parametrize("answer", [None, "", "\0", "저는 한국어로 대답하겠습니다.", "x" * 1_000_000, "?" * 50])
def test_the_interview_goes_on_without_a_usable_answer(question: Question, answer: str | None, tmp_path: Path) -> None:
    (row,) = one(question, QuestionInput(asked=asked(*[answer] * 7)), tmp_path).questions
    assert (row.order, row.stage) == (8, "teamwork")


def test_a_question_that_was_asked_in_other_letters_is_not_asked_again(question: Question, tmp_path: Path) -> None:
    given = QuestionInput(asked=asked(*["x"] * 6, CONFLICT))
    (first,) = one(question, given, tmp_path).questions
    shouted = [replace(given.asked[0], text=f"  {first.text.upper().rstrip('.')} !"), *given.asked[1:]]
    (second,) = one(question, replace(given, asked=shouted), tmp_path).questions
    assert same_text(second.text) != same_text(first.text)


def test_there_is_a_question_left_after_all_that_may_be_given(question: Question, tmp_path: Path) -> None:
    texts = [text for topic in bank("en") for text in topic.questions][:MOST_ASKED]
    orders = [1, 2, *range(4, MOST_ASKED + 2)][:MOST_ASKED]
    given = [AskedQuestion(min(order, MOST_ASKED), text) for order, text in zip(orders, texts, strict=True)]
    (row,) = one(question, QuestionInput(asked=given), tmp_path).questions
    assert row.order == 3
    assert row.text not in texts


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (QuestionInput("previous"), "it is next or set"),
        (QuestionInput(language="fr"), "There is no scenario 'general-fr'"),
        (QuestionInput(scenario="../../etc/passwd"), "There is no scenario"),
        (QuestionInput(asked=[AskedQuestion(0, "?")]), "orders from 1 to 100"),
        (QuestionInput(asked=asked(*["x"] * (MOST_ASKED + 1))), "may have 100 questions"),
        (QuestionInput("set", count=3), "count is 3"),
        (QuestionInput("set", count=-1), "count is -1"),
    ],
)
def test_wrong_input_is_refused(question: Question, given: QuestionInput, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=said):
        run_one(question, given, tmp_path)


@pytest.mark.parametrize(("languages", "said"), [("fr", "INTERVIEW_LANGUAGES names 'fr'"), ("en,", "names ''")])
def test_an_unknown_language_stops_the_worker(languages: str, said: str) -> None:
    with pytest.raises(StartupError, match=said):
        Question().load(LocalLoadContext(Question, options={"INTERVIEW_LANGUAGES": languages}))


def test_a_worker_without_korean_refuses_korean(tmp_path: Path) -> None:
    made = Question()
    made.load(LocalLoadContext(Question, options={"INTERVIEW_LANGUAGES": "en"}))
    with pytest.raises(InvalidInput, match="does not serve the language 'ko'"):
        run_one(made, QuestionInput(language="ko"), tmp_path)


def test_a_users_scenario_is_followed(tmp_path: Path) -> None:
    opening = {"name": "hello", "question_type": "intro", "questions": 2, "fixed": True}
    stages = [
        opening | {"templates": ["Who?", "Why {role}?", "Why?"]},
        {"name": "bye", "question_type": "end", "templates": ["Bye?"]},
    ]
    (tmp_path / "short.json").write_text(json.dumps({"name": "short", "language": "en", "stages": stages}))
    with Flow(Question, contract=QUESTION, options={"SCENARIOS_DIR": str(tmp_path)}) as flow:
        job = flow.submit("question", {"mode": "set", "scenario": "short", "role": "chef"})
        flow.settle()
        view = flow.job(job)
        assert view.state == State.COMPLETED
        assert view.output is not None
        assert [(row["stage"], row["text"]) for row in view.output["questions"]] == [
            ("hello", "Who?"),
            ("hello", "Why chef?"),
            ("bye", "Bye?"),
        ]
