"""Nothing that anything refers to is ever deleted; what nothing refers to goes after two grace periods."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.claim_store import UPLOADED
from connectors.memos import MEMOS, memo_name
from connectors.objects import ObjectStore
from connectors.payload_store import Payload
from connectors.upload_store import TUS, PartialUpload, UploadPart
from schemas.ids import new_id
from schemas.records import Claim, Upload
from streams import wiring
from streams.log import kafka
from streams.retention.collect import Collected, collect
from streams.settings import Settings
from tests.harness.gateway_app import memory_settings
from tests.harness.stores import Stores, new_job, requested

DAY_S = 86_400.0


class Installation:
    """An object store whose files can be made older, and every place that a file may be referred to from."""

    def __init__(self, home: Path) -> None:
        self.settings: Settings = memory_settings(home)
        self.objects: ObjectStore = wiring.object_store(self.settings)
        self._root = home / "objects"

    def age(self, days: float = 1.1) -> None:
        """Make all files older."""
        for path in self._root.rglob("*"):
            if path.is_file():
                os.utime(path, (path.stat().st_mtime - days * DAY_S,) * 2)

    def collect(self, *, dry_run: bool = False) -> Collected:
        with wiring.retention_store(self.settings) as rows:
            return collect(self.settings, self.objects, rows, dry_run=dry_run)

    def held(self, claim: Claim) -> bool:
        """True if the file is there, or in the trash."""
        key = f"{claim.sha256[:2]}/{claim.sha256}"
        return any((self._root / folder / key).exists() for folder in ("sha256", "trash/sha256"))

    def files(self) -> int:
        return sum(path.is_file() for path in self._root.rglob("*"))

    def leave_unfinished(self) -> None:
        """Leave the file that a killed process has of an upload in one request."""
        (self._root / "incoming").mkdir()
        (self._root / "incoming" / f"{new_id()}#1").write_bytes(b"half")

    def upload(self, claim: Claim) -> None:
        with wiring.upload_store(self.settings) as store:
            store.add(Upload(new_id(), claim, datetime.now(UTC)))

    def request_kept(self, claim: Claim) -> None:
        with wiring.payload_store(self.settings) as store:
            store.accept(Payload(new_id(), 0, "echo", "live", b"", b"\0\1" + claim.uri.encode() + b"\2", []))

    def record(self, claim: Claim, topic: str) -> None:
        producer = kafka.producer(self.settings)
        producer.produce(topic, b"\0\0\0\0\1" + claim.uri.encode() + b"\x08rest", b"key")
        producer.flush(5)

    def header(self, claim: Claim, topic: str) -> None:
        producer = kafka.producer(self.settings)
        producer.produce(topic, b"unreadable", headers=[("sluice-claims", f"s3://x/y {claim.uri}".encode())])
        producer.flush(5)

    def refer(self, claim: Claim, how: str) -> None:
        topics = self.settings.topics
        {
            "upload": lambda: self.upload(claim),
            "request kept": lambda: self.request_kept(claim),
            "uploads": lambda: self.record(claim, topics.uploads),
            "requests": lambda: self.record(claim, topics.requests("segmentation")),
            "bulk requests": lambda: self.header(claim, topics.requests("segmentation", "bulk")),
            "results": lambda: self.record(claim, topics.results("segmentation")),
            "outcomes": lambda: self.record(claim, topics.outcomes("segmentation")),
            "dead letters": lambda: self.header(claim, topics.dead_letters),
            "nothing": lambda: None,
        }[how]()


WAYS = (
    *("upload", "request kept", "uploads", "requests", "bulk requests", "results", "outcomes", "dead letters"),
    "nothing",
)


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@given(
    files=st.lists(st.tuples(st.sampled_from(WAYS), st.integers(0, 3)), min_size=1, max_size=6),
    ages=st.lists(st.sampled_from([0.0, 0.4, 1.1]), min_size=4, max_size=6),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_referred_to_is_ever_deleted(
    files: list[tuple[str, int]], ages: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Files get their reference at some time during a series of collections; until then they are in reach of one."""
    made = Installation(tmp_path_factory.mktemp("home"))
    claims = [made.objects.put_bytes(b"%d" % n) for n in range(len(files))]
    referred = set[int]()
    for step, days in enumerate(ages):
        for n, (how, when) in enumerate(files):
            if when == step and how != "nothing" and made.held(claims[n]):
                made.refer(claims[n], how)
                referred.add(n)
        made.age(days)
        made.collect()
        for n in referred:
            out = made.objects.fetch(claims[n], tmp_path_factory.mktemp("out"))
            assert out.read_bytes() == b"%d" % n


def test_what_nothing_refers_to_goes_to_the_trash_and_then_for_good(made: Installation) -> None:
    claim = made.objects.put_bytes(b"garbage")
    assert made.collect().young == 1
    made.age()
    assert made.collect(dry_run=True).trashed == 1
    first = made.collect()
    assert (first.trashed, first.trashed_bytes, first.deleted) == (1, 7, 0)
    assert made.collect().waiting == 1
    made.age()
    assert made.held(claim)
    last = made.collect()
    assert (last.deleted, last.deleted_bytes) == (1, 7)
    assert not made.held(claim)
    assert made.collect() == Collected(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, dry_run=False)


def test_a_file_that_is_referred_to_while_it_is_in_the_trash_comes_back(made: Installation, tmp_path: Path) -> None:
    late, read = made.objects.put_bytes(b"late"), made.objects.put_bytes(b"read")
    made.age()
    made.collect()
    made.upload(late)
    assert made.objects.fetch(read, tmp_path / "out").read_bytes() == b"read"  # a reader takes it out
    assert made.collect().restored == 1
    assert {each.sha256 for each in made.objects.contents()} == {late.sha256, read.sha256}


def test_content_that_is_stored_again_is_young_again(made: Installation) -> None:
    """A worker stores a file whose content was garbage; its result comes later."""
    made.objects.put_bytes(b"content")
    made.age()
    claim = made.objects.put_bytes(b"content")
    assert made.collect().young == 1
    assert made.held(claim)


def test_a_file_that_is_stored_again_during_a_collection_stays(
    made: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = made.objects.put_bytes(b"content")
    made.age()
    retire = made.objects.retire
    monkeypatch.setattr(made.objects, "retire", lambda each: made.objects.put_bytes(b"content") and retire(each))
    assert made.collect().trashed == 0
    assert [each.sha256 for each in made.objects.contents()] == [claim.sha256]


def test_pieces_of_uploads_that_never_ended_go_and_those_of_others_stay(made: Installation) -> None:
    with wiring.upload_store(made.settings) as store:
        begun = store.begin(PartialUpload(new_id(), "t", TUS, 9, None, "x/y"), DAY_S)
        store.add_part(begun.upload_id, UploadPart(0, 1, f"uploads/{begun.upload_id}/0-a"), DAY_S)
    for upload_id in (begun.upload_id, new_id()):
        made.objects.put_named(f"uploads/{upload_id}/0-a", b"x")
    made.leave_unfinished()
    assert made.collect().leftovers == 0
    made.age()
    assert made.collect(dry_run=True).leftovers == 2
    assert made.files() == 3
    assert made.collect().leftovers == 2
    assert [name for name, _ in made.objects.named("uploads")] == [f"uploads/{begun.upload_id}/0-a"]


def test_notes_of_files_for_which_no_result_came_are_deleted_after_the_grace_period(tmp_path: Path) -> None:
    made = Installation(tmp_path)
    made.objects.put_named(f"{UPLOADED}/{new_id()}/0/{'a' * 64}", b"1")
    assert made.collect().leftovers == 0
    made.age()
    assert made.collect(dry_run=True).leftovers == made.collect().leftovers == 1
    assert made.files() == 0


def test_a_memo_stays_while_a_job_of_its_tenant_has_its_input_and_it_is_not_too_old(tmp_path: Path) -> None:
    made = Installation(tmp_path)
    kept, foreign, unknown = (memo_name(*parts, "ee") for parts in (("t", "a"), ("another", "a"), ("t", "b")))
    for name in (kept, foreign, unknown):
        made.objects.put_named(name, b"x")
    stores = Stores(made.settings)
    stores.store(requested(new_job(), header={"tenant": "t"}))
    stores.close()
    assert made.collect().memos == 0, "a young one may belong to a job that is not stored yet"
    made.age()
    assert made.collect(dry_run=True).memos == 2
    assert made.collect().memos == 2
    assert [name for name, _ in made.objects.named(MEMOS)] == [kept]
    made.age(days=30)
    assert made.collect().memos == 1
