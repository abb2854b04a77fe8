"""System 3: résumés into jsonb columns, and an interview whose answers are scored and bring the next question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
import summary
from front_end import FrontEnd
from summary import Shown

RESUMES = ("form-hanyeoreum.pdf", "tabs-oakenshade.docx")
ROLE = "보안 엔지니어"
ANSWERS = (
    "웹 서비스의 취약점을 찾고 개발팀과 함께 고치는 일을 해 왔습니다. 최근에는 사내 서비스 40개의 모의 해킹을 맡았습니다.",
    "취약점 신고 제도를 만들어 첫해에 120건을 접수했습니다. 신고에서 수정까지 평균 시간을 30일에서 6일로 줄였습니다.",
    "비밀값 탐지기를 만들 때 오탐이 많았습니다. 규칙마다 정밀도를 재고 절반을 버린 뒤에야 개발팀이 알림을 믿기 시작했습니다.",
)
_LISTS = ("education", "experience", "projects", "skills", "languages", "certificates")


def run(backend: str, root: Path) -> list[Shown]:
    """Upload the résumés, then hold the first questions of an interview with the first one's owner."""
    front = FrontEnd("interview", backend)
    folder = root / "tests" / "acceptance" / "resumes" / "documents"
    shown = [_resume(front, folder / name) for name in RESUMES]
    return [*shown, _interview(front, shown[0].row["id"])]


def _resume(front: FrontEnd, file: Path) -> Shown:
    with file.open("rb") as content:
        kept = front.post("/resumes", files={"file": (file.name, content)})
    row, states, seconds = front.follow(
        f"/resumes/{kept['id']}",
        lambda resume: str(resume["processing_status"]),
        lambda resume: resume["processing_status"] != "pending",
    )
    ok = row["processing_status"] == "completed"
    counts = ", ".join(f"{len(row[name])} {name}" for name in _LISTS)
    said = f"{row['name']}: {counts}" if ok else str(row["error_message"])
    shown = Shown(summary.INTERVIEW, row["id"][:13], file.name, states, seconds, said, ok, row)
    if file.suffix == ".pdf":
        shown.pictures[f"resume-{file.stem}.png"] = pictures.pdf(file)
    return shown


def _interview(front: FrontEnd, resume_id: str) -> Shown:
    """Answer questions as they come; the interview goes on when each has its score."""
    began = front.post("/interviews", json={"resume_id": resume_id, "language": "ko", "role": ROLE})
    path, states, seconds = f"/interviews/{began['id']}", list[str](), 0.0
    row = began
    for number, answer in enumerate(ANSWERS, 1):
        front.post(f"{path}/answers", json={"order": number, "answer": answer})
        row, seen, took = front.follow(path, _state, lambda now, last=number: _has_moved(now, last))
        states, seconds = [*states, *seen], seconds + took
    asked = row["questions"]
    sources = ", ".join(f"{each['order']} {each['stage']} ({each['source']})" for each in asked)
    scores = ", ".join(str((each["evaluation"] or {}).get("overall")) for each in asked if each["answer"])
    ok = not row["waiting_for"] and len(asked) > len(ANSWERS)
    said = f"questions {sources}; scores of the answers {scores}"
    return Shown(summary.INTERVIEW, began["id"][:13], f"interview, {ROLE}", states, seconds, said, ok, row)


def _state(interview: dict[str, Any]) -> str:
    scored = sum(each["evaluation"] is not None for each in interview["questions"])
    return f"{len(interview['questions'])} questions, {scored} scored"


def _has_moved(interview: dict[str, Any], last: int) -> bool:
    """True once the answer to question `last` is scored and the next question is there, or something has failed."""
    if any(job["state"] == "FAILED" for job in interview["waiting_for"]):
        return True
    questions = interview["questions"]
    scored = any(each["order"] == last and each["evaluation"] is not None for each in questions)
    return scored and any(each["order"] > last for each in questions)
