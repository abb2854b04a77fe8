"""Files of leased jobs through a gateway: what a worker's child reads and stores, also over a line that breaks."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.gateway_client.access import GatewayAccess
from connectors.gateway_client.client import GatewayClient
from connectors.gateway_client.files import GatewayFiles
from connectors.gateway_client.leases import GatewayLeases
from connectors.lease_store import Grant
from gateway.lab_request import LabRequest
from gateway.lab_uploads import LeaseUploads
from schemas.errors import ClaimMismatch, InvalidInput, PayloadTooLarge, StoreUnavailable
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import SEGMENTATION, Claim, SegmentationInput
from streams import wiring
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.gateway_app import memory_settings
from tests.harness.lab import running_gateway
from tests.harness.waiting import in_thread

BYTES = bytes(range(256)) * 20_000  # 5 MB


class BrokenLine:
    """A TCP relay that cuts its first connections after `cut` bytes of the answer."""

    def __init__(self, port: int, cut: int, times: int) -> None:
        self._to, self._cut, self._times = ("127.0.0.1", port), cut, times
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                cut = self._cut if self.connections <= self._times else None
                there = socket.create_connection(self._to)
                threading.Thread(target=_copy, args=(client, there, None), daemon=True).start()
                threading.Thread(target=_copy, args=(there, client, cut), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket, cut: int | None) -> None:
    with source, target, suppress(OSError):
        done = 0
        while data := source.recv(1 << 16):
            target.sendall(data)
            done += len(data)
            if cut is not None and done >= cut:
                break
        for each in (source, target):
            each.shutdown(socket.SHUT_RDWR)


class Lab:
    """A gateway, and a segmentation job that the worker `box` holds: its input claims BYTES."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings, self.url = settings, url
        self.store = wiring.object_store(settings)
        self.claim = self.store.put_bytes(BYTES, "application/gzip")
        with Submitter(settings) as submitter:
            submitter.submit("segmentation", SegmentationInput(self.claim))
        with closing(GatewayLeases(GatewayClient(GatewayAccess(url)), "box")) as leases:
            (self.grant,) = leases.claim("segmentation", "box", 1, 600.0, wait_s=20.0)

    def files(self, worker: str = "box", port: int = 0, **more: Any) -> GatewayFiles:
        url = self.url if not port else f"http://127.0.0.1:{port}"
        grant: Grant = self.grant
        client = GatewayClient(GatewayAccess(url), keep_alive=False)
        return GatewayFiles(client, worker, grant.job_id, grant.run, sleep=lambda _: None, **more)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    settings = memory_settings(tmp_path_factory.mktemp("lab"), leased=(SEGMENTATION.name,), upload_max_bytes=10_000_000)
    with in_thread(Sink(settings, notify=False).run), running_gateway(settings) as url:
        yield Lab(settings, url)


def test_a_file_of_the_input_is_fetched_and_a_result_is_stored(lab: Lab, tmp_path: Path) -> None:
    files = lab.files()
    assert files.fetch(lab.claim, tmp_path).read_bytes() == BYTES
    (tmp_path / "mask").write_bytes(b"a mask")
    claim = files.put_file(tmp_path / "mask", "application/gzip")
    assert claim == lab.store.put_bytes(b"a mask", "application/gzip")
    assert files.put_bytes(b"").size == 0


def test_a_broken_download_goes_on_where_it_stopped(lab: Lab, tmp_path: Path) -> None:
    with ExitStack() as parts:
        line = parts.enter_context(closing(BrokenLine(int(lab.url.rpartition(":")[2]), cut=3_000_000, times=1)))
        assert lab.files(port=line.port).fetch(lab.claim, tmp_path).read_bytes() == BYTES
        assert line.connections == 2


def test_a_gateway_that_stays_away_makes_the_job_try_again_later(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        lab.files(port=9, patience_s=0.0).fetch(lab.claim, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_not_the_claims_are_refused_and_leave_no_file(lab: Lab, tmp_path: Path) -> None:
    smaller = Claim(lab.claim.uri, lab.claim.sha256, lab.claim.size - 1)
    with pytest.raises(ClaimMismatch):
        lab.files().fetch(smaller, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_other_file_and_no_other_job_can_be_reached(lab: Lab, tmp_path: Path) -> None:
    other = lab.store.put_bytes(b"another patient")
    for files, claim in ((lab.files(), other), (lab.files("box-2"), lab.claim)):
        with pytest.raises(InvalidInput):
            files.fetch(claim, tmp_path)
    with pytest.raises(InvalidInput):
        lab.files("box-2").put_bytes(b"x")
    with pytest.raises(InvalidInput):
        lab.files().get_named("checkpoints/another/0")


def test_a_result_claims_a_file_of_the_input_only_with_its_own_hash_and_size(lab: Lab) -> None:
    with closing(wiring.lease_store(lab.settings)) as leases:
        lease = leases.find(lab.grant.job_id, 0)
    assert lease is not None
    request, other = LabRequest(lease, wiring.codec(lab.settings)), "f" * 64
    assert request.uploads_in([to_plain(lab.claim)]) == set()
    forged = replace(lab.claim, sha256=other)
    assert request.uploads_in({"deep": [to_plain(forged)]}) == {(forged.uri, other, forged.size)}
    with pytest.raises(InvalidInput):
        LeaseUploads(lab.store, lab.grant.job_id, 0).check([(forged.uri, other, forged.size)])


def test_a_file_that_was_uploaded_for_another_run_is_not_this_ones(lab: Lab) -> None:
    claim = lab.files().put_bytes(b"of run 0")
    file = (claim.uri, claim.sha256, claim.size)
    LeaseUploads(lab.store, lab.grant.job_id, 0).check([file])
    for job_id, run in ((lab.grant.job_id, 1), (new_id(), 0)):
        with pytest.raises(InvalidInput):
            LeaseUploads(lab.store, job_id, run).check([file])


def test_an_upload_is_limited_and_its_hash_is_checked(lab: Lab) -> None:
    with pytest.raises(PayloadTooLarge):
        lab.files().put_bytes(bytes(10_000_001))
    wrong = hashlib.sha256(b"other").hexdigest()
    params = {"worker_id": "box", "job_id": lab.grant.job_id, "run": "0"}
    with closing(GatewayClient(GatewayAccess(lab.url))) as client, pytest.raises(ClaimMismatch):
        client.call("PUT", f"/objects/{wrong}", params=params, content=b"bytes")


def test_a_checkpoint_is_kept_for_the_next_machine(lab: Lab) -> None:
    files, name = lab.files(), f"checkpoints/{lab.grant.job_id}/0"
    assert files.get_named(name) is None
    files.put_named(name, b"half")
    assert files.get_named(name) == lab.store.get_named(name) == b"half"
    files.delete_named(name)
    assert lab.store.get_named(name) is None
