"""Stages follow a scenario in its order, whatever a caller says of the questions so far; a scenario file is checked at load."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from processors.interview.contract import AskedQuestion, CandidateFacts
from processors.interview.scenario import (
    MOST_QUESTIONS,
    InterviewStage,
    Scenario,
    filled_templates,
    known_topics,
    next_stage,
    plan,
    read_scenarios,
)
from schemas.errors import InvalidInput, StartupError

SCHEMA = Path(__file__).parents[4] / "docs" / "contracts" / "interview_scenario.schema.json"
SHIPPED = read_scenarios(None)


def stage(
    name: str,
    questions: int = 1,
    *,
    fixed: bool = False,
    templates: list[str] | None = None,
    topics: list[str] | None = None,
) -> InterviewStage:
    texts = [f"{name} number {number}?" for number in range(questions)] if templates is None else templates
    return InterviewStage(
        name=name, question_type="any", questions=questions, fixed=fixed, templates=texts, topics=topics or []
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """A scenario with any stages after an opening."""
    opening = draw(st.sampled_from([[2], [1, 1], [3]]))
    rest = draw(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=7))
    numbered = [(number, True) for number in opening] + rest
    stages = [stage(f"s{place}", number, fixed=fixed) for place, (number, fixed) in enumerate(numbered)]
    return Scenario(name="any", language="en", stages=stages)


@settings(max_examples=60)
@given(scenarios(), st.integers(0, 10), st.randoms(use_true_random=False))
def test_no_interview_skips_a_stage(scenario: Scenario, extra: int, random: Random) -> None:
    """Callers send questions in any order, twice, without answers and with wrong stages; each stage still has its turn."""
    total = sum(each.questions for each in scenario.stages)
    count = total + extra * any(not each.fixed for each in scenario.stages) if extra else 0
    asked: list[AskedQuestion] = []
    passed: list[str] = []
    while (following := next_stage(scenario, asked, count)) is not None:
        passed.append(following.name)
        lie = random.choice(["", "closing", following.name])
        asked.append(AskedQuestion(len(passed), "?", random.choice([None, "yes"]), lie, lie))
        asked += random.sample(asked, random.randrange(2))
        random.shuffle(asked)
    assert passed == [each.name for each in plan(scenario, count)]
    assert list(dict.fromkeys(passed)) == [each.name for each in scenario.stages]


@given(scenarios(), st.sets(st.integers(1, 60)))
def test_a_question_that_is_missing_in_the_middle_comes_next(scenario: Scenario, orders: set[int]) -> None:
    following = next_stage(scenario, [AskedQuestion(order, "?") for order in orders])
    missing = min(set(range(1, 62)) - orders)
    assert following == (plan(scenario)[missing - 1] if missing <= len(plan(scenario)) else None)


@given(scenarios(), st.integers(1, 60))
def test_a_count_leaves_no_stage_out_or_is_refused(scenario: Scenario, count: int) -> None:
    loose = [each for each in scenario.stages if not each.fixed]
    fixed = sum(each.questions for each in scenario.stages if each.fixed)
    if not fixed + len(loose) <= count <= (MOST_QUESTIONS if loose else fixed):
        with pytest.raises(InvalidInput, match="so that no stage is left out"):
            plan(scenario, count)
        return
    planned = plan(scenario, count)
    assert len(planned) == count <= MOST_QUESTIONS
    assert list(dict.fromkeys(each.name for each in planned)) == [each.name for each in scenario.stages]
    assert sum(each.fixed for each in planned) == fixed


@pytest.mark.parametrize("name", ["general-en", "general-ko"])
def test_the_shipped_scenarios_begin_with_two_templates_and_know_their_topics(name: str) -> None:
    scenario = SHIPPED[name]
    known_topics(scenario)
    assert [each.fixed for each in plan(scenario)][:3] == [True, True, False]
    assert len(plan(scenario)) == 10


def test_templates_are_filled_with_facts_and_those_without_one_are_left_out() -> None:
    skills = stage("skills", templates=["Why {skill}?", "How do you work?", "Why {skill} at {company}?"])
    facts = CandidateFacts(skills=["Kafka", " \x00\n", "Postgres\nSQL"], companies=["Acme"])
    assert filled_templates(skills, facts, "") == [
        "Why Kafka at Acme?",
        "Why Kafka?",
        "Why Postgres SQL?",
        "How do you work?",
    ]
    assert filled_templates(skills, None, "") == ["How do you work?"]


def test_a_fact_that_looks_like_a_placeholder_is_text() -> None:
    skills = stage("skills", templates=["Why {skill}?"])
    assert filled_templates(skills, CandidateFacts(skills=["{role} {0} \\1"]), "chief") == ["Why {role} {0} \\1?"]


def written(folder: Path, **changes: Any) -> Path:
    scenario = json.loads(SHIPPED["general-en"].model_dump_json()) | changes
    (folder / "mine.json").write_text(json.dumps(scenario))
    return folder


def test_scenarios_of_a_folder_are_added_and_may_replace_a_shipped_one(tmp_path: Path) -> None:
    assert set(read_scenarios(written(tmp_path, name="mine"))) == {"general-en", "general-ko", "mine"}
    stages = [{"name": "one", "question_type": "any", "questions": 2, "fixed": True, "templates": ["A?", "B?"]}]
    assert len(read_scenarios(written(tmp_path, stages=stages))["general-en"].stages) == 1


OPENING = {"name": "one", "question_type": "any", "questions": 2, "fixed": True, "templates": ["A?", "B?"]}
LONG = {"question_type": "any", "questions": 20}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages": []}, "stages"),
        ({"language": "fr"}, "language"),
        ({"speed": 1}, "speed"),
        ({"stages": [OPENING | {"fixed": False}]}, "first 2 questions must be those of fixed stages"),
        ({"stages": [OPENING | {"questions": 1}]}, "first 2 questions must be those of fixed stages"),
        ({"stages": [OPENING, OPENING]}, "two stages have the same name"),
        ({"stages": [OPENING | {"templates": ["A?", "{skill}?"]}]}, "needs 2 different templates"),
        ({"stages": [OPENING | {"templates": ["A?", "B {hobby}?"]}]}, "unknown placeholder {hobby}"),
        ({"stages": [OPENING | {"questions": 21}]}, "stages.0.questions"),
        ({"stages": [OPENING | {"questions": "2"}]}, "stages.0.questions"),
        ({"stages": [OPENING, *(LONG | {"name": f"s{number}"} for number in range(3))]}, "at most 50"),
    ],
)
def test_a_wrong_scenario_names_its_file_and_fault(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(StartupError) as error:
        read_scenarios(written(tmp_path, **changes))
    assert str(tmp_path / "mine.json") in error.value.message
    assert said in error.value.message


def test_an_unknown_topic_or_folder_stops_the_worker(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="does not exist"):
        read_scenarios(tmp_path / "none")
    scenario = Scenario(name="x", language="ko", stages=[stage("o", 2, fixed=True), stage("s", topics=["cooking"])])
    with pytest.raises(StartupError, match="unknown topic 'cooking'"):
        known_topics(scenario)


def test_the_published_schema_is_that_of_the_code() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert schema == Scenario.model_json_schema()
    for scenario in SHIPPED.values():
        Draft202012Validator(schema).validate(json.loads(scenario.model_dump_json()))
