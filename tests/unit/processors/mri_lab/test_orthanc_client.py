"""The client of Orthanc against a server whose answers the test sets: logins, errors, silence, and series that still grow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from processors.mri_lab import orthanc
from processors.mri_lab.orthanc import LoginRefused, Orthanc
from schemas.errors import ConnectionFailed, InvalidInput, JobCancelled, NotFound, StartupError, StoreUnavailable
from tests.unit.processors.mri_lab.fake_orthanc import ID, Answer, FakeOrthanc, serving

BASIC = "Basic bGFiOmdlaGVpbQ=="  # lab:geheim


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOrthanc]:
    for name in ("FIRST_WAIT_S", "QUIET_POLL_S"):
        monkeypatch.setattr(orthanc, name, 0.001)
    with serving(FakeOrthanc()) as running:
        yield running


@pytest.fixture
def client(fake: FakeOrthanc) -> Iterator[Orthanc]:
    made = Orthanc(fake.url, "lab", "geheim", timeout_s=5.0)
    yield made
    made.close()


def never() -> bool:
    return False


def test_a_series_is_found_by_either_id(fake: FakeOrthanc, client: Orthanc) -> None:
    fake.series(True)
    fake.says("POST /tools/lookup", [{"ID": "other", "Type": "Study"}, {"ID": ID, "Type": "Series"}])
    found = client.find_series(ID)
    assert (found.orthanc_id, found.instances, found.stable) == (ID, ("a", "b"), True)
    assert client.find_series("1.2.3") == found
    assert fake.logins == {BASIC}


def test_a_missing_series_is_not_found_and_not_asked_for_again(fake: FakeOrthanc, client: Orthanc) -> None:
    fake.says("POST /tools/lookup", [])
    for missing in (ID, "1.2.3"):
        with pytest.raises(NotFound, match="is not in the Orthanc"):
            client.find_series(missing)
    assert len(fake.asked) == 2


@pytest.mark.parametrize("odd", ["../../system", "a b", "1.2.3?x", "", "0123abcd", ID.upper()])
def test_an_id_that_is_none_never_becomes_a_path(fake: FakeOrthanc, client: Orthanc, odd: str) -> None:
    with pytest.raises(InvalidInput):
        client.find_series(odd)
    assert fake.asked == []


def test_a_refused_login_is_named_without_the_password(fake: FakeOrthanc, client: Orthanc) -> None:
    fake.says("GET /system", (401, b""))
    with pytest.raises(LoginRefused, match="refuses the login") as refused:
        client.check()
    assert "geheim" not in str(refused.value)
    assert len(fake.asked) == 1


def test_credentials_in_the_url_log_in_and_are_in_no_message(fake: FakeOrthanc) -> None:
    fake.says("GET /pacs/system", {}, (500, b""))
    client = Orthanc(fake.url.replace("//", "//lab:geheim@") + "/pacs/")
    client.check()
    assert fake.logins == {BASIC}
    with pytest.raises(ConnectionFailed) as failed:
        client.check()
    assert "geheim" not in str(failed.value)
    assert "pacs" not in str(failed.value)
    client.close()


def test_a_password_in_the_address_may_have_any_character_as_urls_encode_it(fake: FakeOrthanc) -> None:
    fake.says("GET /system", {})
    client = Orthanc(fake.url.replace("//", "//lab%40home:a%2Fb%25@"))
    client.check()
    assert fake.logins == {"Basic bGFiQGhvbWU6YS9iJQ=="}  # lab@home:a/b%
    client.close()


@pytest.mark.parametrize("away", [None, (503, b""), (502, b"<html>")])
def test_a_server_that_is_away_for_a_moment_is_asked_again(fake: FakeOrthanc, client: Orthanc, away: Answer) -> None:
    fake.says("GET /system", away, away, {})
    client.check()
    assert len(fake.asked) == 3


def test_a_server_that_stays_away_makes_the_job_wait(fake: FakeOrthanc, client: Orthanc) -> None:
    fake.says("GET /system", None)
    with pytest.raises(StoreUnavailable, match="did not answer") as away:
        client.check()
    assert away.value.code == "CONNECTION_ERROR"
    assert away.value.retryable
    assert len(fake.asked) == orthanc.TRIES


def test_a_server_that_is_silent_is_given_up_after_a_time() -> None:
    import socket

    with socket.socket() as deaf, pytest.MonkeyPatch.context() as patch:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        patch.setattr(orthanc, "TRIES", 1)
        client = Orthanc(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(StoreUnavailable, match="ReadTimeout"):
            client.check()
        client.close()


@pytest.mark.parametrize(
    ("answer", "said"), [((500, b""), "failed"), ((200, b"<html>"), "not JSON"), ((302, b""), "answered 302")]
)
def test_other_answers_are_errors_that_say_what_came(
    fake: FakeOrthanc, client: Orthanc, answer: Answer, said: str
) -> None:
    fake.says("GET /system", answer)
    with pytest.raises(ConnectionFailed, match=said):
        client.check()


@pytest.mark.parametrize("url", ["orthanc:8042", "ftp://host", "http://", "http://host:port", "http://a:geheim@[::1"])
def test_an_address_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(StartupError, match="ORTHANC_URL") as refused:
        Orthanc(url)
    assert "geheim" not in str(refused.value)


def test_a_series_that_grows_is_waited_for(fake: FakeOrthanc, client: Orthanc) -> None:
    fake.series(False, False, True)
    assert client.wait_until_stable(ID, never).stable
    assert len(fake.asked) == 3


def test_a_series_that_grows_for_ever_is_left_for_later(
    fake: FakeOrthanc, client: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orthanc, "QUIET_WAIT_S", 0.0)
    fake.series(False)
    with pytest.raises(StoreUnavailable, match="still grows: 2 files") as grows:
        client.wait_until_stable(ID, never)
    assert grows.value.retry_after_s == orthanc.QUIET_RETRY_S


def test_a_cancel_ends_the_wait(fake: FakeOrthanc, client: Orthanc) -> None:
    fake.series(False)
    with pytest.raises(JobCancelled):
        client.wait_until_stable(ID, lambda: True)


def test_files_are_fetched_and_one_that_broke_off_is_fetched_again(
    fake: FakeOrthanc, client: Orthanc, tmp_path: Path
) -> None:
    fake.series(True)
    fake.says("GET /instances/a/file", None, (200, b"first"))
    fake.says("GET /instances/b/file", (200, b"second"))
    paths = list(client.fetch(client.find_series(ID), tmp_path))
    assert [path.read_bytes() for path in paths] == [b"first", b"second"]


def test_a_file_that_is_gone_fails_the_attempt(fake: FakeOrthanc, client: Orthanc, tmp_path: Path) -> None:
    fake.series(True)
    with pytest.raises(ConnectionFailed, match="no longer"):
        list(client.fetch(client.find_series(ID), tmp_path))


def stored(client: Orthanc, folder: Path) -> str:
    path = folder / "seg.dcm"
    path.write_bytes(b"SEG")
    return client.store(path, "2.25.1")


def test_an_object_that_is_there_is_not_stored_again(fake: FakeOrthanc, client: Orthanc, tmp_path: Path) -> None:
    fake.says("POST /tools/lookup", [{"ID": "seg", "Type": "Instance"}])
    assert stored(client, tmp_path) == "seg"
    assert fake.asked == ["POST /tools/lookup"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"00081198": {"vr": "SQ", "Value": [{}]}}, "did not store"),
        ((404, b""), "DICOMweb plugin"),
        ({"00081198": {"vr": "SQ"}}, "does not have it"),
    ],
)
def test_an_object_that_was_not_stored_is_an_error(
    fake: FakeOrthanc, client: Orthanc, tmp_path: Path, answer: object, said: str
) -> None:
    fake.says("POST /tools/lookup", [])
    fake.says("POST /dicom-web/studies", answer)
    with pytest.raises(ConnectionFailed, match=said):
        stored(client, tmp_path)


def test_an_object_whose_answer_was_lost_is_found(fake: FakeOrthanc, client: Orthanc, tmp_path: Path) -> None:
    fake.says("POST /tools/lookup", [], [{"ID": "seg", "Type": "Instance"}])
    fake.says("POST /dicom-web/studies", None, {"00081198": {"vr": "SQ"}})
    assert stored(client, tmp_path) == "seg"
