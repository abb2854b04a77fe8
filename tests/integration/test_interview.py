"""Interviews on the real stack: a job of each processor, and the backend's own contract as its old front end speaks it.

The language model's server is configured and dead, and CUDA is asked for where there is none. Bodies are checked against
docs/contracts/interview.schema.json. Workers, sink, notifier and gateway are the real ones; the backend is examples/ai_services
in an environment of its own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, LiteralString

import jsonschema
import psycopg
import pytest
from pydantic import SecretStr

from bench.receiver import Receiver
from sluice_client import Client, verify
from sluice_client.errors import UnknownProcessor
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.ai_services import FrontEnd, check, running_backend
from tests.harness.installation import installation
from tests.harness.lab import running_gateway
from tests.harness.resume_documents import column, korean_form, write_pdf
from tests.harness.services import Service
from tests.harness.source_tree import ROOT
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

RESUME_SCHEMA = json.loads((ROOT / "docs" / "contracts" / "resume.schema.json").read_text(encoding="utf-8"))
SPEECH = ROOT / "tests" / "data" / "speech" / "amiable.flac"
SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
#: Nothing listens there.
DEAD = "http://127.0.0.1:9/v1"
#: Seconds that two workers may take to start on a busy machine.
PATIENCE_S = 180.0
QUESTION = "가장 자랑스러운 프로젝트에 대해 말씀해 주세요."
ANSWER = (
    "정산 시스템을 카프카로 옮기는 프로젝트를 이끌었습니다. "
    "처음에는 작업이 유실되어 검사기를 만들었고, 결국 유실을 0건으로 줄였습니다."
)
NUL = "\0"


@dataclass
class Interviews:
    """The running services. `receiver`: takes the callbacks of jobs that a test submits itself."""

    settings: Settings
    workers: tuple[Service, ...]
    client: Client
    receiver: Receiver
    front: FrontEnd

    def run(self, processor: str, input_: dict[str, Any]) -> dict[str, Any]:
        """Submit a job; return the data of its callback, whose body is checked and is what the outcome's row says."""
        job_id = self.client.submit(processor, input_, callback_url=self.receiver.url, external_id="e-1").job_id

        def called() -> list[dict[str, Any]]:
            events = [call.event() for call in self.receiver.callbacks]
            return [event for event in events if event["data"]["job_id"] == job_id]

        [event] = wait_until(called, self.log, PATIENCE_S)
        data: dict[str, Any] = check("callback", event)["data"]
        assert (data["processor"], data["external_id"]) == (processor, "e-1")
        stored = "SELECT status, output, jsonb_typeof(output), error_code FROM outcomes WHERE job_id = %s"
        kind = "object" if data["output"] is not None else None
        code = data["error"] and data["error"]["code"]
        assert self.rows(stored, job_id) == [(data["status"], data["output"], kind, code)]
        return data

    def output(self, processor: str, input_: dict[str, Any]) -> Any:
        """Run a job that completes; return its output."""
        data = self.run(processor, input_)
        assert data["status"] == "COMPLETED", data
        return data["output"]

    def claim(self, path: Path) -> dict[str, Any]:
        return asdict(self.client.upload(path).claim)

    def rows(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database) as connection:
            return connection.execute(query, values).fetchall()

    def log(self) -> str:
        return "\n".join(worker.last_lines() for worker in self.workers)


@pytest.fixture(scope="module")
def interviews(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interviews]:
    folder = tmp_path_factory.mktemp("interviews")
    with ExitStack() as parts:
        receiver = parts.enter_context(Receiver())
        own = {"processors": ("resume", "question", "evaluate", "speech"), "callback_secrets": (SecretStr(SECRET),)}
        settings = parts.enter_context(installation(stack, folder / "home", **own))
        patch = parts.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("INTERVIEW_LANGUAGES", "ko")  # English takes twice the time to load
        evaluating = Service(settings, ["worker", "evaluate", "resume", "--device", "cpu"])
        parts.callback(evaluating.stop)
        patch.setenv("LLM_URL", DEAD)
        patch.setenv("LLM_MODEL", "exaone")
        patch.setenv("SPEECH_DEVICE", "cuda")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        asking = Service(settings, ["worker", "question", "speech", "--device", "cpu"])
        parts.callback(asking.stop)
        parts.enter_context(in_thread(Sink(settings, notify=True).run))
        parts.enter_context(in_thread(Timekeeper(settings).run))
        url = parts.enter_context(running_gateway(settings))
        own_settings = {"BACKEND_DATABASE_URL": settings.database, "SLUICE_GATEWAY_URL": url}
        backend, log = parts.enter_context(running_backend(folder, **own_settings, SLUICE_CALLBACK_SECRETS=SECRET))
        client = parts.enter_context(Client(url))
        workers = (evaluating, asking)

        def logs() -> str:
            return "\n".join([*(worker.last_lines() for worker in workers), log.read_text()[-4000:]])

        yield Interviews(settings, workers, client, receiver, FrontEnd(backend, PATIENCE_S, logs))


def test_an_answer_is_scored_by_the_heuristic_which_the_result_names(interviews: Interviews) -> None:
    found = check("evaluate", interviews.output("evaluate", {"question": QUESTION, "answer": ANSWER}))
    assert (found["method"], found["reason"], found["model"], found["language"]) == ("heuristic", None, None, "ko")
    assert 0 < found["overall"] <= 100
    call = interviews.receiver.callbacks[-1]
    verify(call.headers, call.body, SECRET)


def test_a_set_has_its_templates_and_names_the_fallback_for_a_model_that_is_dead(interviews: Interviews) -> None:
    given = {"mode": "set", "language": "ko", "role": f"데이터{NUL} 엔지니어", "facts": {"skills": [f"카프카{NUL}"]}}
    found = check("question", interviews.output("question", given))
    sources = [(row["source"], row["reason"]) for row in found["questions"]]
    assert sources == [("template", None)] * 2 + [("fallback", "connect")] * (found["total"] - 2)
    assert [row["order"] for row in found["questions"]] == list(range(1, found["total"] + 1))
    assert (found["complete"], found["model"]) == (True, "exaone")
    texts = " ".join(row["text"] for row in found["questions"])
    assert ("카프카" in texts, NUL in texts) == (True, False)


def test_speech_runs_on_the_cpu_where_cuda_was_asked_for_and_says_so(interviews: Interviews) -> None:
    found = check("speech", interviews.output("speech", {"audio": interviews.claim(SPEECH), "language": "en"}))
    assert "amiable" in found["text"]
    assert (found["device"], found["segments"][0]["text"]) == ("cpu", found["text"])
    assert found["fallback_reason"].startswith("Running on the CPU, because cuda does not work here: CUDA")


def test_a_resume_with_a_nul_is_stored_as_an_object_without_it(interviews: Interviews, tmp_path: Path) -> None:
    lines = ["# Ada Example", f"ada{NUL}@example.org", "# Skills", f"Kafka{NUL}, SQL"]
    document = interviews.claim(write_pdf(tmp_path / "nul.pdf", [column(50, 50, lines)]))
    found = interviews.output("resume", {"document": document})
    jsonschema.validate(found, RESUME_SCHEMA)
    assert (found["name"], found["skills"][-1]) == ("Ada Example", "SQL")
    assert NUL not in json.dumps(found, ensure_ascii=False)


def test_a_job_that_fails_has_an_outcome_and_a_callback_with_the_reason(interviews: Interviews, tmp_path: Path) -> None:
    scan = interviews.run("resume", {"document": interviews.claim(write_pdf(tmp_path / "scan.pdf", [[]]))})
    assert (scan["error"]["code"], "no text" in scan["error"]["message"]) == ("INVALID_INPUT", True)
    foreign = interviews.run("speech", {"audio": interviews.claim(SPEECH), "language": "xx"})
    assert (foreign["error"]["code"], "'xx'" in foreign["error"]["message"]) == ("INVALID_INPUT", True)


def test_the_old_name_of_a_task_is_refused_with_the_nearest_processor(interviews: Interviews) -> None:
    with pytest.raises(UnknownProcessor, match="Did you mean 'question'"):
        interviews.client.submit("questions", {"mode": "set"})


def test_the_backends_contract_from_the_resume_to_the_scored_answers(interviews: Interviews, tmp_path: Path) -> None:
    front = interviews.front
    document = korean_form(tmp_path / "r.docx").read_bytes()
    pending = front.upload("이력서.docx", document)
    assert (pending["processing_status"], pending["filename"]) == ("pending", "이력서.docx")
    scan = front.upload("scan.pdf", write_pdf(tmp_path / "scan.pdf", [[]]).read_bytes())
    front.upload("resume.exe", b"MZ", "refused", 415)
    front.upload("empty.pdf", b"", "refused", 413)
    front.ask("GET", f"/resumes/{scan['id'][:-4]}0000", "refused", 404)

    resume = front.resume(pending["id"])
    assert (resume["processing_status"], resume["language"]) == ("completed", "ko")
    jsonschema.validate({name: resume[name] for name in RESUME_SCHEMA["properties"]}, RESUME_SCHEMA)
    kinds = "SELECT jsonb_typeof(experience), jsonb_typeof(education->0) FROM ai_services.resumes WHERE id = %s"
    assert interviews.rows(kinds, pending["id"]) == [("array", "object")]
    failed = front.resume(scan["id"])
    assert (failed["processing_status"], "no text" in failed["error_message"]) == ("failed", True)

    began = {"resume_id": resume["id"], "language": "ko", "role": "데이터 엔지니어"}
    interview = front.ask("POST", "/interviews", "interview", 201, json=began)
    place = interview["id"]
    assert [(row["order"], row["source"]) for row in interview["questions"]] == [(1, "template"), (2, "template")]
    front.ask("POST", "/interviews", "refused", 422, json={"language": "xx"})
    front.answer(place, 1, "데이터 파이프라인을 만드는 엔지니어입니다.")
    front.answer(place, 1, "다시 답합니다.", "refused", 409)
    front.answer(place, 2, ANSWER)
    asked = front.interview(place, lambda found: len(found["questions"]) == 3)
    third = asked["questions"][2]
    assert (third["stage"], third["source"], third["reason"]) == ("experience", "fallback", "connect")
    scores = [row["evaluation"]["method"] for row in asked["questions"][:2]]
    assert (scores, asked["status"]) == (["heuristic", "heuristic"], "active")
    tried = interviews.rows("SELECT DISTINCT state FROM deliveries")
    assert tried == [("delivered",)]
