"""Interviews: two template questions at the start; each answer is scored, and brings the next question of the scenario.

Only the number of a question decides its stage, in the processor's scenario: none can be skipped. The next question is asked
for once all questions have answers, by whichever request sees that first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from sluice_client import Client

from backend.database import Database, Row
from backend.settings import Settings
from interview import resumes, tasks

NEXT, SCORE = "question", "evaluation"
#: The first two questions, which need no worker: an interview starts at once.
OPENING = {
    "en": ("Please introduce yourself.", "Why do you apply for this position?"),
    "ko": ("간단히 자기소개를 해 주세요.", "이 직무에 지원한 이유는 무엇인가요?"),
}
_QUESTION = (
    'INSERT INTO interview_questions (interview_id, "order", question_type, stage, text, source, reason)'
    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)


def start(db: Database, language: str, role: str, resume_id: UUID | None) -> UUID:
    """Start an interview with its two template questions; return its id."""
    interview_id = uuid4()
    db.change(
        "INSERT INTO interviews (id, language, role, resume_id) VALUES (%s, %s, %s, %s)",
        (interview_id, language, role, resume_id),
    )
    for order, text in enumerate(OPENING[language], 1):
        db.change(_QUESTION, (interview_id, order, "introduction", "opening", text, "template", None))
    return interview_id


def find(db: Database, interview_id: UUID) -> Row | None:
    return db.row("SELECT * FROM interviews WHERE id = %s", [interview_id])


def newest(db: Database) -> Sequence[Row]:
    return db.rows(
        "SELECT i.*, count(q.answer) AS answers, count(*) AS questions FROM interviews i"
        " JOIN interview_questions q ON q.interview_id = i.id GROUP BY i.id ORDER BY i.created_at DESC LIMIT 50"
    )


def questions(db: Database, interview_id: UUID) -> Sequence[Row]:
    return db.rows('SELECT * FROM interview_questions WHERE interview_id = %s ORDER BY "order"', [interview_id])


def answer(db: Database, interview_id: UUID, order: int, text: str) -> bool:
    """Store an answer; return False if the question has one already, or is not there."""
    statement = 'UPDATE interview_questions SET answer = %s WHERE interview_id = %s AND "order" = %s AND answer IS NULL'
    return db.change(statement, (text, interview_id, order)) == 1


def advance(db: Database, interview: Row, *, again: bool = False) -> None:
    """Add the tasks that the interview needs now: a score for each answer, and the next question once all have answers.

    Any request may call it, at any time: a task that is there is not added twice. `again`: those that failed are repeated.
    """
    asked = questions(db, interview["id"])
    for question in asked:
        if question["answer"] and question["evaluation"] is None:
            tasks.add(
                db, SCORE, interview["id"], f"Score of answer {question['order']}", question["order"], again=again
            )
    if any(question["answer"] is None for question in asked):
        return
    if interview["all_asked"]:
        db.change("UPDATE interviews SET status = 'completed' WHERE id = %s", [interview["id"]])
    else:
        order = len(asked) + 1
        tasks.add(db, NEXT, interview["id"], f"Question {order}", order, again=again)


def unfinished(db: Database, interview_id: UUID) -> Sequence[Row]:
    """Return the newest job of each task of an interview that has not completed, the next question's first."""
    newest = (
        'SELECT DISTINCT ON (t.kind, t."order") j.*, t.kind FROM interview_tasks t JOIN jobs j ON j.id = t.job_id'
        ' WHERE t.subject = %s ORDER BY t.kind DESC, t."order", j.created_at DESC'
    )
    return [job for job in db.rows(newest, [interview_id]) if job["state"] != "COMPLETED"]


def _next_question(db: Database, _: Settings, __: Client, task: Row) -> tuple[str, Mapping[str, Any]]:
    interview = find(db, task["subject"])
    assert interview is not None
    fields = ("order", "text", "answer", "question_type", "stage")
    resume = resumes.find(db, interview["resume_id"]) if interview["resume_id"] else None
    return "question", {
        "mode": "next",
        "language": interview["language"],
        "role": interview["role"],
        "facts": resumes.facts(resume),
        "asked": [{name: each[name] for name in fields} for each in questions(db, interview["id"])],
    }


def _store_question(db: Database, task: Row, output: Mapping[str, Any]) -> None:
    fields = ("order", "question_type", "stage", "text", "source")
    for question in output["questions"]:
        db.change(_QUESTION, (task["subject"], *(question[name] for name in fields), question.get("reason")))
    if output["complete"]:
        db.change("UPDATE interviews SET all_asked = true WHERE id = %s", [task["subject"]])


def _score(db: Database, _: Settings, __: Client, task: Row) -> tuple[str, Mapping[str, Any]]:
    row = db.row(
        "SELECT q.text, q.answer, i.role, i.language FROM interview_questions q JOIN interviews i"
        ' ON i.id = q.interview_id WHERE q.interview_id = %s AND q."order" = %s',
        (task["subject"], task["order"]),
    )
    assert row is not None
    return "evaluate", {
        "question": row["text"],
        "answer": row["answer"],
        "role": row["role"],
        "language": row["language"],
    }


def _store_score(db: Database, task: Row, output: Mapping[str, Any]) -> None:
    db.change(
        'UPDATE interview_questions SET evaluation = %s WHERE interview_id = %s AND "order" = %s',
        (db.json(output), task["subject"], task["order"]),
    )


tasks.WORK |= {NEXT: _next_question, SCORE: _score}
tasks.STORE |= {NEXT: _store_question, SCORE: _store_score}
