"""A lab machine that the test plays: it speaks to a gateway as a worker does, and forges what it likes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.gateway_client.access import GatewayAccess
from connectors.gateway_client.client import GatewayClient
from connectors.gateway_client.leases import GatewayLeases
from connectors.gateway_client.wire import to_text
from connectors.lease_store import Grant
from schemas.avsc import result_schema
from schemas.envelope import header_of
from schemas.plain import to_plain
from schemas.records import ECHO, Claim, EchoInput, EchoOutput, ErrorInfo, JobHeader, Result, ResultInfo, Timings
from streams import wiring
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.gateway_app import memory_settings
from tests.harness.lab import running_gateway
from tests.harness.waiting import in_thread


class Laboratory:
    """An installation in memory whose sink and gateway run, and whose echo jobs are kept by lease."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.url = url

    def submit(self, message: str = "hi", **options: Any) -> str:
        with Submitter(self.settings) as submitter:
            return submitter.submit("echo", EchoInput(message), **options).job_id

    def state(self, job_id: str) -> str:
        with wiring.job_store(self.settings) as jobs:
            view = jobs.job(job_id)
        return "" if view is None else view.state


@contextmanager
def laboratory(home: Path, **changes: Any) -> Iterator[Laboratory]:
    settings = memory_settings(home, leased=("echo",), **changes)
    with in_thread(Sink(settings, notify=False).run), running_gateway(settings) as url:
        yield Laboratory(settings, url)


class Machine:
    def __init__(self, lab: Laboratory, worker_id: str = "box-1") -> None:
        self._settings = lab.settings
        self._codec = wiring.codec(lab.settings)
        self.worker_id = worker_id
        self.client = GatewayClient(GatewayAccess(lab.url))
        self.leases = GatewayLeases(self.client, worker_id)

    def claim(self, wait_s: float = 20.0) -> Grant:
        (grant,) = self.leases.claim("echo", self.worker_id, 1, 60.0, wait_s=wait_s)
        return grant

    def header(self, grant: Grant) -> JobHeader:
        return header_of(self._codec.decode(grant.value))

    def result(self, grant: Grant, header: JobHeader | None = None, **changes: Any) -> bytes:
        """Encode a result for a grant; `changes` are fields of its ResultInfo."""
        now = datetime.now(UTC)
        info = ResultInfo(
            "succeeded",
            self.worker_id,
            "cpu",
            Timings(now, now, now),
            execution=grant.execution,
            request_coordinates=grant.coordinates,
        )
        made = Result(header or self.header(grant), replace(info, **changes), EchoOutput("hi", 2))
        return self._codec.encoder("results.echo-value", result_schema(ECHO)).encode(to_plain(made))

    def retry(self, grant: Grant, in_ms: int) -> bytes:
        return self.result(grant, disposition="retry", retry_in_ms=in_ms, error=ErrorInfo("CONNECTION_ERROR", "away"))

    def stored_elsewhere(self) -> Claim:
        """Return the claim of a file that the store has, but that this machine never had."""
        return wiring.object_store(self._settings).put_bytes(b"a patient of another tenant")

    def hand_in(self, grant: Grant, value: bytes, **changes: Any) -> bool:
        body = {"worker_id": self.worker_id, **grant.hold._asdict(), "value": to_text(value)}
        return bool(self.client.call("POST", "/results", body | changes)["published"])

    def close(self) -> None:
        self.client.close()


FOREIGN = Claim("file:///etc/passwd", "0" * 64, 1, "text/plain")
