"""Promises of every claim store, on a local folder and in memory, and what `fetch` refuses."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.claim_store import ClaimStore
from connectors.claim_uris import locate
from connectors.objects import ObjectStore
from schemas.errors import ClaimMismatch, InvalidInput, PayloadTooLarge, StoreUnavailable, UsageError
from schemas.records import Claim

Make = Callable[..., ClaimStore]
HELLO = hashlib.sha256(b"hello").hexdigest()


@pytest.fixture(params=["file", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    url = (tmp_path / "클레임 store").as_uri() if request.param == "file" else "memory://"
    return lambda **options: ObjectStore(url, **options)


@pytest.fixture
def store(make: Make) -> ClaimStore:
    return make()


@pytest.mark.parametrize("data", [b"", b"hello", os.urandom(3 << 20)], ids=["empty", "small", "three chunks"])
def test_stored_bytes_can_be_fetched(store: ClaimStore, tmp_path: Path, data: bytes) -> None:
    claim = store.put_bytes(data, "image/png")
    assert (claim.size, claim.sha256, claim.content_type) == (len(data), hashlib.sha256(data).hexdigest(), "image/png")
    assert store.fetch(claim, tmp_path / "deep" / "out.png").read_bytes() == data


def test_a_file_and_its_bytes_make_the_same_claim(store: ClaimStore, tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"hello")
    assert store.put_file(file) == store.put_bytes(b"hello")


def test_a_claims_uri_is_absolute_and_names_the_content(store: ClaimStore) -> None:
    claim = store.put_bytes(b"hello")
    assert claim.uri.partition("://")[0] in ("file", "memory")
    assert claim.uri.endswith(f"/sha256/{HELLO[:2]}/{HELLO}")


def test_storing_twice_is_the_same_as_storing_once(store: ClaimStore, tmp_path: Path) -> None:
    assert store.put_bytes(b"hello") == store.put_bytes(b"hello")
    assert store.fetch(store.put_bytes(b"hello"), tmp_path / "out").read_bytes() == b"hello"


def test_many_threads_may_put_and_fetch_the_same_content(store: ClaimStore, tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    fetched: list[bytes] = []

    def both(number: int) -> None:
        fetched.append(store.fetch(store.put_bytes(data), tmp_path / str(number)).read_bytes())

    threads = [threading.Thread(target=both, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == [data] * 8


def test_a_store_whose_folder_is_gone_is_unavailable_and_its_claims_are_not_called_missing(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "mounted").as_uri())
    claim = store.put_bytes(b"hello")
    (tmp_path / "mounted").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match="may not be mounted"):
        store.fetch(claim, tmp_path / "out")


def test_fetching_into_a_folder_names_the_file_by_its_hash(store: ClaimStore, tmp_path: Path) -> None:
    assert store.fetch(store.put_bytes(b"hello"), tmp_path) == tmp_path / HELLO


def test_a_claim_with_another_sha256_is_a_mismatch_and_leaves_no_file(store: ClaimStore, tmp_path: Path) -> None:
    claim = replace(store.put_bytes(b"hello"), sha256="0" * 64)
    into = tmp_path / "folder" / "out"
    with pytest.raises(ClaimMismatch, match="sha256"):
        store.fetch(claim, into)
    assert list(into.parent.iterdir()) == []


@pytest.mark.parametrize("size", [0, 4, 6, 1 << 20])
def test_a_claim_with_another_size_is_a_mismatch(store: ClaimStore, tmp_path: Path, size: int) -> None:
    with pytest.raises(ClaimMismatch, match="bytes"):
        store.fetch(replace(store.put_bytes(b"hello"), size=size), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mismatch_does_not_touch_a_file_that_was_there(store: ClaimStore, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"before")
    with pytest.raises(ClaimMismatch):
        store.fetch(replace(store.put_bytes(b"hello"), sha256="0" * 64), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"before"


def test_an_object_that_is_not_there_is_invalid_input(store: ClaimStore, tmp_path: Path) -> None:
    present = store.put_bytes(b"hello")
    absent = replace(present, uri=present.uri.replace(HELLO, "0" * 64))
    with pytest.raises(InvalidInput, match="does not exist"):
        store.fetch(absent, tmp_path / "out")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "../../etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "https://example.com/volume.nii",
        "s3://another-bucket/key",
        "memory://other/key",
        "",
        "nonsense",
    ],
)
def test_a_claim_that_points_elsewhere_is_refused(store: ClaimStore, tmp_path: Path, uri: str) -> None:
    with pytest.raises(InvalidInput, match="may not point"):
        store.fetch(Claim(uri, HELLO, 5), tmp_path / "out")


@pytest.mark.parametrize(
    "tail",
    [
        "../secret",
        "a/../../secret",
        "%2e%2e/secret",
        "a/%2E%2E/%2e%2e/secret",
        "./a",
        "a//b",
        "",
        "a\\..\\b",
        "a%00b",
        "a%2f..%2fb",
    ],
)
def test_a_claim_that_climbs_out_of_its_store_is_refused(store: ClaimStore, tmp_path: Path, tail: str) -> None:
    root = store.put_bytes(b"hello").uri.partition("/sha256/")[0]
    with pytest.raises(InvalidInput):
        store.fetch(Claim(f"{root}/{tail}", HELLO, 5), tmp_path / "out")


@pytest.mark.parametrize("sha256", ["", "../../../tmp/x", "A" * 64, "0" * 63, "0" * 65])
def test_a_claim_with_an_invalid_hash_is_refused_before_it_names_a_file(
    store: ClaimStore, tmp_path: Path, sha256: str
) -> None:
    with pytest.raises(InvalidInput, match="hex"):
        store.fetch(replace(store.put_bytes(b"hello"), sha256=sha256), tmp_path)


def test_a_payload_over_the_limit_is_refused_at_both_ends(make: Make, tmp_path: Path) -> None:
    store = make(max_bytes=5)
    (tmp_path / "large").write_bytes(b"123456")
    claim = store.put_bytes(b"12345")
    with pytest.raises(PayloadTooLarge):
        store.put_bytes(b"123456")
    with pytest.raises(PayloadTooLarge):
        store.put_file(tmp_path / "large")
    with pytest.raises(PayloadTooLarge):
        store.fetch(replace(claim, size=6), tmp_path / "out")
    with pytest.raises(InvalidInput):
        store.fetch(replace(claim, size=-1), tmp_path / "out")


def test_a_file_that_is_not_there_can_not_be_put(store: ClaimStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="can't be read"):
        store.put_file(tmp_path / "missing")


def test_another_process_can_fetch_the_content(tmp_path: Path) -> None:
    claim = ObjectStore(tmp_path.as_uri()).put_bytes(b"hello")
    assert ObjectStore(tmp_path.as_uri()).fetch(claim, tmp_path / "out").read_bytes() == b"hello"


def test_an_object_altered_in_the_folder_is_a_mismatch(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "store").as_uri())
    claim = store.put_bytes(b"hello")
    (tmp_path / "store" / "sha256" / HELLO[:2] / HELLO).write_bytes(b"jello")
    with pytest.raises(ClaimMismatch, match="sha256"):
        store.fetch(claim, tmp_path / "out")


def test_an_object_cut_off_by_a_crash_is_repaired_by_storing_it_again(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "store").as_uri())
    claim = store.put_bytes(b"hello")
    (tmp_path / "store" / "sha256" / HELLO[:2] / HELLO).write_bytes(b"hel")
    store.put_bytes(b"hello")
    assert store.fetch(claim, tmp_path / "out").read_bytes() == b"hello"


def test_a_root_that_the_operator_allows_may_be_fetched_from(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "사례 7.nii").write_bytes(b"hello")
    claim = Claim((uploads / "사례 7.nii").as_uri(), HELLO, 5)
    store = ObjectStore((tmp_path / "store").as_uri(), also_from=[uploads.as_uri()])
    assert store.fetch(claim, tmp_path / "out").read_bytes() == b"hello"
    with pytest.raises(InvalidInput):
        ObjectStore((tmp_path / "store").as_uri()).fetch(claim, tmp_path / "out")


def test_a_folder_beside_an_allowed_one_is_not_allowed_with_it(tmp_path: Path) -> None:
    (tmp_path / "uploads-private").mkdir()
    (tmp_path / "uploads-private" / "x").write_bytes(b"hello")
    store = ObjectStore((tmp_path / "store").as_uri(), also_from=[(tmp_path / "uploads").as_uri()])
    with pytest.raises(InvalidInput, match="may not point"):
        store.fetch(Claim((tmp_path / "uploads-private" / "x").as_uri(), HELLO, 5), tmp_path / "out")


@given(st.text(max_size=80))
def test_every_uri_is_refused_or_lies_below_an_allowed_root(tail: str) -> None:
    roots = ("file:///srv/claims", "s3://bucket/prefix")
    for uri in (tail, *(f"{root}{tail}" for root in roots), *(f"{root}/{tail}" for root in roots)):
        try:
            location = locate(uri, roots)
        except InvalidInput:
            continue
        assert location.root in roots
        assert ".." not in location.key.split("/")
        assert not location.key.startswith("/")


def test_the_error_about_a_forbidden_uri_does_not_repeat_its_path(store: ClaimStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        store.fetch(Claim("file:///data/kim-minsoo-1971.nii", HELLO, 5), tmp_path / "out")
    assert "kim" not in str(caught.value)


def test_an_unreachable_store_is_a_failed_connection(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        options = {
            "endpoint": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "region": "us-east-1",
            "access_key_id": "x",
            "secret_access_key": "y",
        }
        store = ObjectStore("s3://bucket/prefix", options=options)
        with pytest.raises(StoreUnavailable, match="did not store"):
            store.put_bytes(b"hello")
        with pytest.raises(StoreUnavailable, match="did not fetch"):
            store.fetch(Claim(f"s3://bucket/prefix/sha256/{HELLO[:2]}/{HELLO}", HELLO, 5), tmp_path / "out")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/claims",
        "file://",
        "file:///",
        "file://host/x",
        "http://host/x",
        "s3://",
        "s3://key:secret@b",
        "memory:x?y",
    ],
)
def test_a_url_that_is_not_a_store_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="object store") as caught:
        ObjectStore(url)
    assert "secret" not in str(caught.value)


def test_an_option_the_cloud_does_not_know_is_a_usage_error_at_first_use() -> None:
    with pytest.raises(UsageError, match="can't be opened"):
        ObjectStore("s3://bucket", options={"no_such_option": "1"}).put_bytes(b"hello")


def test_a_named_object_can_be_replaced_and_deleted(store: ClaimStore) -> None:
    assert store.get_named("checkpoints/a/0") is None
    store.put_named("checkpoints/a/0", b"one")
    store.put_named("checkpoints/a/0", b"two")
    store.put_named("checkpoints/a/1", b"")
    assert (store.get_named("checkpoints/a/0"), store.get_named("checkpoints/a/1")) == (b"two", b"")
    store.delete_named("checkpoints/a/0")
    store.delete_named("checkpoints/a/0")
    assert store.get_named("checkpoints/a/0") is None
    assert store.get_named("checkpoints/a/1") == b""


@pytest.mark.parametrize("name", ["", "/etc", "a//b", "../a", "a/..", "a b", "a/", "a\n"])
def test_a_name_can_not_leave_its_folder(store: ClaimStore, name: str) -> None:
    with pytest.raises(InvalidInput):
        store.put_named(name, b"x")
