"""Promises of the store of what is kept: references to files, and the contents of a case, on Postgres and in memory."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.delivery_store import TryRow
from connectors.jsonb import jsonb
from connectors.payload_store import Payload
from connectors.sink_store import ProgressRow
from connectors.upload_store import UploadPart
from schemas.ids import new_id
from streams.sink.event import Event
from tests.harness.stores import CALLBACK, Stores, ended, new_job, requested
from tests.harness.uploads import partial, upload

SECRET = "Kim Minsoo 1971"
CASE: dict[str, Any] = {
    "tenant": "t",
    "case_id": SECRET,
    "external_id": SECRET,
    "upload_id": SECRET,
    "labels": {"name": SECRET},
    "callback_url": f"http://127.0.0.1:9/{SECRET}",
}
OTHER = {"tenant": "t", "case_id": "another"}


def content(digit: str) -> str:
    return digit * 64


def claim(digit: str) -> dict[str, Any]:
    return {"uri": f"s3://b/sha256/{digit * 2}/{digit * 64}", "sha256": content(digit), "size": 1, "content_type": "x"}


def result(job: UUID, offset: int, refs: str = "", output: str = "", **more: Any) -> Event:
    """A final result with files: `refs` and `output` are the digits that their hashes consist of."""
    made = ended(job, offset, **more)
    assert made.terminal is not None
    terminal = made.terminal._replace(
        refs=jsonb([claim(digit) for digit in refs]) if refs else None,
        output=jsonb({"said": SECRET, "files": [claim(digit) for digit in output]}),
        error={"code": "X", "message": SECRET},
    )
    return made._replace(terminal=terminal)


def payload(job: UUID, digit: str) -> Payload:
    value = b"\0\xff" + claim(digit)["uri"].encode() + SECRET.encode() + b"\\"
    return Payload(str(job), 0, "echo", "live", b"k", value, [("sluice-claims", claim(digit)["uri"])])


def everything(stores: Stores, job: UUID) -> str:
    """Return all that the views know of a job."""
    return str(stores.view(job))


def test_a_file_is_referred_to_by_uploads_outcomes_and_kept_requests(stores: Stores) -> None:
    assert stores.retention.references() == set()
    stores.uploads.add(upload("a"))
    job = new_job()
    stores.store(requested(job, 0), result(job, 1, refs="b", output="c"))
    stores.payloads.accept(payload(new_job(), "d"))
    assert stores.retention.references() == {content(digit) for digit in "abcd"}


def test_unfinished_uploads_are_those_in_pieces(stores: Stores) -> None:
    one = stores.uploads.begin(partial(), 3600.0)
    assert stores.retention.unfinished([one.upload_id, new_id()]) == {one.upload_id}
    assert stores.retention.unfinished([]) == set()


def test_the_rows_of_a_case_are_found_and_those_of_others_are_not(stores: Stores) -> None:
    done, running, other = new_job(), new_job(), new_job()
    stores.store(requested(done, 0, header=CASE), result(done, 1, refs="b", output="c", header=CASE))
    stores.payloads.accept(payload(running, "d"))
    stores.store(requested(running, 2, header=CASE))
    stores.store(requested(other, 3, header=OTHER), result(other, 4, refs="be", header=OTHER))
    own = upload("a", tenant="t", case_id=SECRET)
    for each in (own, upload("f", tenant="other", case_id=SECRET), upload("d", tenant="t")):
        stores.uploads.add(each)
    begun = stores.uploads.begin(partial(tenant="t", case_id=SECRET), 3600.0)
    stores.uploads.add_part(begun.upload_id, UploadPart(0, 5, "uploads/x"), 3600.0)

    case = stores.retention.case("t", SECRET)
    assert case.job_ids == sorted(map(str, (done, running)))
    assert case.open_runs == [(str(running), 0)]
    assert (case.upload_ids, case.deliveries, case.parts) == ([own.upload_id], 1, ["uploads/x"])
    assert case.contents == {content(digit) for digit in "abcd"}
    assert stores.retention.others("t", SECRET, case.contents) == {content(digit) for digit in "bd"}
    assert stores.retention.others("t", SECRET, []) == set()


def test_the_inputs_of_jobs_are_known_by_tenant_until_they_are_erased(stores: Stores) -> None:
    job, edited, other = new_job(), new_job(), new_job()
    stores.store(requested(job, 0, header=CASE, input_sha256="i1"))
    stores.store(requested(edited, 1, header=CASE, input_sha256=""))  # could not be decoded
    stores.store(ended(edited, 2, run=1, header=CASE | {"replay_id": "r"}, input_sha256="i2"))
    stores.store(requested(other, 3, header={"tenant": "u"}, input_sha256="i1"))
    assert stores.retention.known_inputs(["i1", "i2", "i3"]) == {("t", "i1"), ("t", "i2"), ("u", "i1")}
    assert stores.retention.case("t", SECRET).inputs == {"i1", "i2"}
    stores.retention.erase("t", SECRET, "a@host", 0)
    assert stores.retention.case("t", SECRET).inputs == set()
    assert stores.retention.known_inputs(["i1", "i2"]) == {("u", "i1")}


def test_an_erased_case_has_states_and_times_but_no_contents(stores: Stores) -> None:
    job, other, me = new_job(), new_job(), uuid.uuid4().bytes
    stores.store(requested(job, 0, header=CASE), result(job, 1, refs="b", header=CASE), notifier=me)
    stores.store(requested(other, 2, header=CALLBACK | OTHER), result(other, 3, header=CALLBACK | OTHER))
    [held] = [each for each in stores.deliveries.held(me, 10) if UUID(each.row["job_id"]) == job]
    stores.deliveries.record([TryRow(held.delivery_id, "pending", 0, True, 500, 1.0, SECRET)])
    stores.uploads.add(upload("a", tenant="t", case_id=SECRET, filename=SECRET))
    before = stores.view(job)

    erased = stores.retention.erase("t", SECRET, "operator@host", 3)
    assert (erased.jobs, erased.uploads, erased.deliveries, erased.objects) == (1, 1, 1, 3)
    after = stores.view(job)
    assert (after.state, after.finished_at, after.result) == (before.state, before.finished_at, before.result)
    assert SECRET not in everything(stores, job)
    assert [delivery.state for delivery in after.deliveries] == ["gone"]
    assert stores.retention.references() == set()
    assert SECRET in everything(stores, other)


def test_erasing_again_finds_the_same_jobs_and_is_recorded_without_the_case(stores: Stores) -> None:
    job = new_job()
    stores.store(requested(job, 0, header=CASE), result(job, 1, refs="b", header=CASE))
    first = stores.retention.erase("t", SECRET, "a@host", 1)
    assert stores.retention.case("t", SECRET).job_ids == [str(job)]
    second = stores.retention.erase("t", SECRET, "b@host", 0)
    assert (second.jobs, second.uploads, second.deliveries) == (0, 0, 0)
    assert stores.retention.erasures("t", SECRET) == [first, second]
    assert stores.retention.erasures("u", SECRET) == []
    assert SECRET not in json.dumps([str(first), str(second)])


def test_what_comes_after_an_erasure_is_stored_without_contents(stores: Stores) -> None:
    running, unknown, reborn = new_job(), new_job(), new_job()
    stores.store(requested(running, 0, header=CASE))
    stores.retention.erase("t", SECRET, "a@host", 0)
    later = {"created_at": datetime.now(UTC) + timedelta(hours=1)}
    progress = ProgressRow(running.bytes, 0, 1, 1, 1, "w", "segmenting", 5.0, SECRET)
    assert stores.sink.mark_progress([progress]) == {(running.bytes, 0)}
    stores.store(result(running, 1, refs="b", output="c", header=CASE))
    stores.store(requested(unknown, 2, header=CASE), result(unknown, 3, refs="b", header=CASE))
    stores.store(requested(reborn, 4, header=CASE | later), result(reborn, 5, refs="d", header=CASE | later))

    for job in (running, unknown):
        view = stores.view(job)
        assert (view.state, view.output, view.deliveries) == ("COMPLETED", None, [])
        assert SECRET not in str(view)
    assert stores.view(reborn).case_id == SECRET  # the patient came back: a new case
    assert stores.retention.references() == {content("d")}
