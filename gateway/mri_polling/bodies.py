"""Bodies of the polling contract, both ways, without I/O. The old system's field names are not documented: a setting has them.

Values are never repeated in errors: they may be a patient's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from connectors.lease_store import Hold
from connectors.views import JobStatus
from gateway.problems import Problem
from processors.mri_lab.contract import MriLabInput, MriLabOutput
from schemas.ids import is_job_id
from schemas.states import State

#: Characters of a text that a worker reports.
LONGEST_TEXT = 1000
LARGEST_INT = 2**31 - 1
#: A series: Orthanc's id, or a SeriesInstanceUID.
SERIES = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
#: Words for a report and for an end, in lower case.
RUNNING = frozenset({"processing", "in_progress", "running", "started"})
FAILURE = frozenset({"failed", "failure", "error"})
SUCCESS = frozenset({"completed", "complete", "success", "succeeded", "done"})

_WORDS = {
    State.PENDING: "pending",
    State.RETRYING: "pending",
    State.PROCESSING: "processing",
    State.COMPLETED: "completed",
}
_REQUEST_ID = re.compile(r"([0-9a-f-]{36})\.(\d{1,10})\.(\d{1,19})")

#: Our name of a field → its name in the old system.
Names = Mapping[str, str]


class RequestId(NamedTuple):
    """Names a job's lease: the text is `JOB.RUN.FENCE`. The next lease of the job has another id, so a completion by a worker
    that lost its lease can't be taken for its successor's."""

    job_id: str
    run: int
    fence: int

    def __str__(self) -> str:
        return f"{self.job_id}.{self.run}.{self.fence}"

    @property
    def hold(self) -> Hold:
        return Hold(self.job_id, self.run, self.fence)

    @classmethod
    def parse(cls, text: str) -> RequestId:
        """Raises Problem 404 for a text that is no request id."""
        found = _REQUEST_ID.fullmatch(text)
        if found is not None and is_job_id(found[1]):
            run, fence = int(found[2]), int(found[3])
            if run <= LARGEST_INT and fence < 2**63:
                return cls(str(UUID(found[1])), run, fence)
        raise unknown_request()


def unknown_request() -> Problem:
    return Problem(404, "NOT_FOUND", "There is no such request.", next_step="Use `request_id` of pending-requests.")


class End(NamedTuple):
    """A worker's completion: an output, or the words of an error."""

    output: MriLabOutput | None
    error: str = ""


def status_word(state: str) -> str:
    """Return the old system's word for a job's state; `failed` for each end without a result."""
    return _WORDS.get(State(state), "failed")


def request_entry(id_: RequestId, input_: MriLabInput, created_at: str, names: Names) -> dict[str, Any]:
    """Return a request as a worker gets it."""
    entry = {
        "id": str(id_),
        "request_id": str(id_),
        "job_id": id_.job_id,
        "series_id": input_.series_id,
        "threshold": input_.threshold,
        "status": "pending",
        "created_at": created_at,
    }
    return _with_old_names(entry, names)


def list_entry(job: JobStatus, names: Names) -> dict[str, Any]:
    """Return a request as the list shows it. `series_id` is null for a job that was submitted another way."""
    entry = {
        "id": job.job_id,
        "request_id": job.job_id,
        "job_id": job.job_id,
        "series_id": job.external_id,
        "status": status_word(job.state),
        "state": job.state,
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
        "completed_at": None if job.finished_at is None else job.finished_at.isoformat(),
        "error": None if job.error_code is None else job.error_message or job.error_code,
    }
    return _with_old_names(entry, names)


def reported(body: Mapping[str, Any]) -> str:
    """Return "processing" or "failed", whichever a status update says; an empty body says "processing".

    Raises Problem 400 for any other status.
    """
    word = body.get("status", "processing")
    if isinstance(word, str) and word.lower() in RUNNING:
        return "processing"
    if isinstance(word, str) and word.lower() in FAILURE:
        return "failed"
    raise bad_request(
        "The status is not known.", "Send `processing` or `failed`; a success goes to complete-request with its fields."
    )


def error_text(body: Mapping[str, Any]) -> str:
    """Return what a worker says of its failure, as text that every store takes."""
    for name in ("error", "error_message", "message"):
        said = body.get(name)
        if isinstance(said, Mapping):
            said = said.get("message")
        if isinstance(said, str) and said.strip():
            return said.encode("utf-8", "replace").decode().replace("\0", "?")[:LONGEST_TEXT]
    return "The worker reported a failure without a message."


def end_of(body: Mapping[str, Any], names: Names) -> End:
    """Read a completion. Its fields may also lie in an object `result`. Raises Problem 400 for one that can't be used."""
    if not _succeeded(body):
        return End(None, error_text(body))
    nested = body.get("result")
    fields = {**nested, **body} if isinstance(nested, Mapping) else body
    found: dict[str, Any] = {}
    for name, check in _FIELDS.items():
        value = fields.get(names.get(name, name))
        if value is None:
            value = fields.get(name)
        if value is not None:
            found[name] = check(value, names.get(name, name))
    if found.get("found") is None:
        sizes = [found[name] for name in ("lesion_volume_mm3", "lesion_count") if name in found]
        found["found"] = any(sizes) if sizes else None
    return End(MriLabOutput(**found))


def bad_request(detail: str, next_step: str | None = None) -> Problem:
    return Problem(400, "BAD_REQUEST", detail, next_step=next_step)


def threshold_of(body: Mapping[str, Any]) -> float | None:
    """Return the threshold of a start. Raises Problem 400 unless it is above 0 and below 1, as the processor asks, or null."""
    value = body.get("threshold")
    found = None if value is None else _fraction(value, "threshold")
    if found is not None and not 0.0 < found < 1.0:
        raise bad_request("`threshold` is not a number above 0 and below 1.")
    return found


def _succeeded(body: Mapping[str, Any]) -> bool:
    """Return whether a completion says success: by `success`, by `status`, or by both if they agree."""
    said, word = body.get("success"), body.get("status")
    words = {True: SUCCESS, False: FAILURE}
    by_word = [key for key, known in words.items() if isinstance(word, str) and word.lower() in known]
    if word is not None and not by_word:
        raise bad_request("The status is not known.", "Send `completed` or `failed`.")
    if said is not None and not isinstance(said, bool):
        raise bad_request("`success` is not a boolean.")
    found = {*by_word, *([] if said is None else [said])}
    if len(found) != 1:
        raise bad_request(
            "`success` and `status` contradict each other."
            if found
            else "The body has neither `success` nor `status`.",
            'Send {"success": true, …} or {"success": false, "error": …}.',
        )
    return found.pop()


def _with_old_names(entry: dict[str, Any], names: Names) -> dict[str, Any]:
    return entry | {old: entry[name] for name, old in names.items() if name in entry}


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not value.isprintable():
        raise bad_request(f"`{name}` is not a text of at most {LONGEST_TEXT} printable characters.")
    return value


def _prose(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise bad_request(f"`{name}` is not a text.")
    return value.encode("utf-8", "replace").decode().replace("\0", "?")[:LONGEST_TEXT]


def _number(value: Any, name: str) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not 0 <= value <= 1e12 or not math.isfinite(value):
        raise bad_request(f"`{name}` is not a number, or is below 0 or too large.")
    return float(value)


def _fraction(value: Any, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise bad_request(f"`{name}` is not a number from 0 to 1.")
    return float(value)


def _count(value: Any, name: str) -> int:
    found = _number(value, name)
    if found > LARGEST_INT or found != int(found):
        raise bad_request(f"`{name}` is not a whole number from 0.")
    return int(found)


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise bad_request(f"`{name}` is not a boolean.")
    return value


_FIELDS: dict[str, Callable[[Any, str], Any]] = {
    "segmentation_instance_uid": _text,
    "segmentation_series_uid": _text,
    "orthanc_id": _text,
    "found": _flag,
    "lesion_volume_mm3": _number,
    "lesion_count": _count,
    "threshold": _fraction,
    "device": _text,
    "report": _prose,
}
