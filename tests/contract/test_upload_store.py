"""Promises of the store of uploads, on Postgres and in memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.jsonb import jsonb
from connectors.upload_store import UploadPart
from schemas.ids import new_id
from streams import wiring
from tests.harness.stores import Stores, ended, new_job, requested
from tests.harness.uploads import partial, upload

HOUR = 3600.0


def test_an_accepted_upload_is_its_tenants_and_is_accepted_once(stores: Stores) -> None:
    one = upload(tenant="t", filename="사례.png", kind="scan", case_id="7", labels={"상태": "확인", "role": "LIS"})
    assert stores.uploads.add(one)
    assert not stores.uploads.add(replace(one, filename="other"))
    assert stores.uploads.get("t", one.upload_id) == one
    assert stores.uploads.get("another", one.upload_id) is None
    assert stores.uploads.get("t", new_id()) is None


def test_a_cases_uploads_are_found_by_kind_and_labels_newest_first(stores: Stores) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    about: dict[str, Any] = {"tenant": "t", "kind": "biomarker", "case_id": "7"}
    ready, confirmed, late = (
        upload(labels={"status": status, "role": "LIS", "more": "x"}, created_at=at + timedelta(hours=n), **about)
        for n, status in enumerate(("READY", "CONFIRMED", "READY"))
    )
    others = [
        upload(labels={"status": "CANCELLED", "role": "LIS"}, **about),
        upload(labels={"status": "READY", "role": "ris"}, **about),
        upload(labels={"status": "READY"}, **about),
        upload(**about),
        *(
            upload(labels=ready.labels, **about | other)
            for other in ({"tenant": "another"}, {"kind": "scan"}, {"case_id": "8"}, {"case_id": None})
        ),
    ]
    for each in (confirmed, *others, late, ready):
        stores.uploads.add(each)
    wanted = {"status": ("READY", "CONFIRMED"), "role": ("LIS",)}
    assert stores.uploads.of_case("t", "7", "biomarker", labels=wanted, limit=9) == [late, confirmed, ready]
    assert stores.uploads.of_case("t", "7", "biomarker", labels=wanted, limit=1) == [late]
    assert len(stores.uploads.of_case("t", "7", "biomarker", labels={}, limit=9)) == 7
    assert stores.uploads.of_case("t", "9", "biomarker", labels={}, limit=9) == []


def test_an_event_that_was_not_confirmed_in_time_is_due_and_one_that_was_is_not(stores: Stores) -> None:
    late, done, young = upload(labels={"role": "LIS"}), upload(), upload()
    stores.due.lead()
    for each, check_in_s in ((late, 0.0), (done, 0.0), (young, HOUR)):
        stores.uploads.add(each, check_in_s)
    stores.uploads.mark_published([done.upload_id])
    assert stores.due.unsent_uploads(10) == [late]
    assert stores.due.unsent_uploads(10) == []  # put off
    stores.due.mark_uploads_published([young.upload_id])


def test_a_content_is_a_tenants_by_its_upload_or_by_a_result_of_its_job(stores: Stores) -> None:
    stores.uploads.add(upload("a", tenant="t"))
    stores.uploads.add(upload("b", tenant="another"))
    for n, (tenant, digit) in enumerate((("t", "c"), ("another", "d"))):
        job, header = new_job(), {"tenant": tenant}
        refs = [{"uri": "u", "sha256": digit * 64, "size": 1, "content_type": "x"}]
        end = ended(job, 2 * n + 1, header=header)
        assert end.terminal is not None
        end = end._replace(terminal=end.terminal._replace(refs=jsonb(refs)))
        stores.store(requested(job, 2 * n, header=header), end)
    wanted = [digit * 64 for digit in "abcde"]
    assert stores.uploads.foreign("t", wanted) == {digit * 64 for digit in "bde"}
    assert stores.uploads.foreign("t", []) == set()


def test_parts_are_appended_one_after_another(stores: Stores) -> None:
    one = stores.uploads.begin(partial(labels={"role": "LIS"}), HOUR)
    assert stores.uploads.partial("t", one.upload_id) == one
    assert stores.uploads.partial("another", one.upload_id) is None
    first, second = UploadPart(0, 4, "p/1"), UploadPart(4, 6, "p/2")
    assert stores.uploads.add_part(one.upload_id, second, HOUR) is None
    for part, received in ((first, 4), (second, 10)):
        longer = stores.uploads.add_part(one.upload_id, part, HOUR)
        assert longer is not None
        assert longer.received == received
    assert stores.uploads.add_part(one.upload_id, first, HOUR) is None
    assert stores.uploads.parts(one.upload_id) == [first, second]


def test_of_two_requests_that_append_at_once_one_does(stores: Stores) -> None:
    one = stores.uploads.begin(partial(), HOUR)
    appended: list[bool] = []

    def append(name: str) -> None:
        with wiring.upload_store(stores.settings) as store:
            appended.append(store.add_part(one.upload_id, UploadPart(0, 5, name), HOUR) is not None)

    threads = [threading.Thread(target=append, args=(f"p/{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(appended) == [False, False, False, True]
    assert [part.size for part in stores.uploads.parts(one.upload_id)] == [5]


def test_a_length_is_set_once(stores: Stores) -> None:
    one = stores.uploads.begin(partial(length=None), HOUR)
    stores.uploads.add_part(one.upload_id, UploadPart(0, 4, "p/1"), HOUR)
    assert [stores.uploads.set_length(one.upload_id, length) for length in (3, 9, 9, 10)] == [False, True, True, False]


def test_accepting_an_upload_ends_its_pieces(stores: Stores) -> None:
    one = stores.uploads.begin(partial(), HOUR)
    stores.uploads.add_part(one.upload_id, UploadPart(0, 4, "p/1"), HOUR)
    assert stores.uploads.add(upload(upload_id=one.upload_id, tenant="t"), in_pieces=True)
    assert stores.uploads.partial("t", one.upload_id) is None
    assert stores.uploads.parts(one.upload_id) == []


def test_an_upload_in_pieces_is_accepted_or_discarded_never_both(stores: Stores) -> None:
    given_up, accepted = stores.uploads.begin(partial(), HOUR), stores.uploads.begin(partial(), HOUR)
    assert stores.uploads.discard(given_up.upload_id)
    assert not stores.uploads.discard(given_up.upload_id)
    assert not stores.uploads.add(upload(upload_id=given_up.upload_id, tenant="t"), in_pieces=True)
    assert stores.uploads.get("t", given_up.upload_id) is None
    assert stores.uploads.add(upload(upload_id=accepted.upload_id, tenant="t"), in_pieces=True)
    assert not stores.uploads.discard(accepted.upload_id)


def test_of_an_accept_and_a_discard_at_once_one_does(stores: Stores) -> None:
    def accept(upload_id: str) -> bool:
        with wiring.upload_store(stores.settings) as store:
            return store.add(upload(upload_id=upload_id, tenant="t"), in_pieces=True)

    def discard(upload_id: str) -> bool:
        with wiring.upload_store(stores.settings) as store:
            return store.discard(upload_id)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            one = stores.uploads.begin(partial(), HOUR).upload_id
            accepted, discarded = pool.submit(accept, one), pool.submit(discard, one)
            assert accepted.result() is not discarded.result()
            assert (stores.uploads.get("t", one) is not None) is accepted.result()


def test_an_expired_upload_takes_no_more_parts_and_gives_up_those_it_has(stores: Stores) -> None:
    stores.due.lead()
    one, alive = stores.uploads.begin(partial(), HOUR), stores.uploads.begin(partial(), HOUR)
    stores.uploads.add_part(one.upload_id, UploadPart(0, 4, "p/1"), 0.0)
    empty = stores.uploads.begin(partial(), 0.0)
    assert stores.uploads.partial("t", one.upload_id) is None
    assert stores.uploads.add_part(one.upload_id, UploadPart(4, 4, "p/2"), HOUR) is None
    assert sorted(stores.due.expired_uploads(10)) == sorted([(one.upload_id, ["p/1"]), (empty.upload_id, [])])
    assert stores.due.expired_uploads(10) == []
    assert stores.uploads.partial("t", alive.upload_id) is not None


def test_a_discarded_upload_is_gone(stores: Stores) -> None:
    one = stores.uploads.begin(partial(), HOUR)
    stores.uploads.add_part(one.upload_id, UploadPart(0, 4, "p/1"), HOUR)
    stores.uploads.discard(one.upload_id)
    assert stores.uploads.partial("t", one.upload_id) is None
    assert stores.uploads.parts(one.upload_id) == []
