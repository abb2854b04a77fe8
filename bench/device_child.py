"""A worker's child process as the benchmark drives it: the real one, without a broker and without a registry."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.device_models import OPTION
from schemas.avsc import request_schema, result_schema
from schemas.codec import Codec
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import ECHO, EchoInput, JobHeader, Request
from schemas.registry import MemoryRegistry
from streams.environment import variables
from streams.health.loop_threads import LoopThreads
from streams.worker import protocol
from streams.worker.protocol import ChildConfig, JobFrame, MessageKind
from streams.worker.supervision.process import ChildProcess

REQUESTS, RESULTS = "requests.echo-value", "results.echo-value"
START_S, PATIENCE_S = 60.0, 120.0


class Records:
    """Requests as they lie in the log, and the codec that reads them and their results."""

    def __init__(self) -> None:
        registry = MemoryRegistry()
        self.codec = Codec(registry)
        self._requests = self.codec.encoder(REQUESTS, request_schema(ECHO), register=True)
        self.codec.encoder(RESULTS, result_schema(ECHO), register=True)
        ids = {name: registry.lookup(name, schema) for name, schema in self._schemas()}
        self.schema_ids = {name: found for name, found in ids.items() if found is not None}

    @staticmethod
    def _schemas() -> Iterator[tuple[str, str]]:
        yield REQUESTS, request_schema(ECHO)
        yield RESULTS, result_schema(ECHO)

    @property
    def reader_schema(self) -> Any:
        return self._requests.parsed

    def requests(self, count: int, size: int) -> list[bytes]:
        """Return `count` requests whose messages have `size` characters, each another."""
        places = np.arange(1, size + 1)
        texts = ((32 + n * places % 90).astype(np.uint8).tobytes().decode("latin-1") for n in range(count))
        return [self._request(text) for text in texts]

    def _request(self, message: str) -> bytes:
        header = JobHeader(new_id(), "echo", datetime.now(UTC), input_sha256="")
        return self._requests.encode(to_plain(Request(header, EchoInput(message))))

    def outputs(self, values: Sequence[bytes]) -> list[Any]:
        """Return the outputs of encoded results."""
        return [self.codec.decode(value)["output"] for value in values]


class Child:
    """Sends requests to a child process, no more at a time than `in_flight`, and collects its answers."""

    def __init__(self, config: ChildConfig, in_flight: int) -> None:
        self._in_flight = in_flight
        self._changed = threading.Condition()
        self._results: dict[int, bytes] = {}
        self._report: tuple[MessageKind, bytes] | None = None
        self._ended = False
        self._process = ChildProcess(config, self, LoopThreads("worker", None))

    # ── the child's messages, on its reader thread ──

    def handle(self, child: ChildProcess, kind: MessageKind, body: bytes) -> None:
        with self._changed:
            if kind is MessageKind.ANSWERS:
                self._results |= {answer.slot: answer.value for answer in protocol.unpack_answers(body)}
            elif kind in (MessageKind.READY, MessageKind.BROKEN):
                self._report = kind, body
            else:
                return
            self._changed.notify_all()

    def ended(self, child: ChildProcess) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # ── the benchmark's thread ──

    def wait_until_ready(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._report is not None or self._ended, START_S)
        if self._report is None or self._report[0] is not MessageKind.READY:
            raise RuntimeError(f"The child did not start: {self._report}")

    def run(self, values: Sequence[bytes]) -> tuple[float, list[bytes]]:
        """Run these requests; return the seconds from the first frame to the last answer, and the results in order."""
        waiting, began = deque(enumerate(values)), time.perf_counter()
        with self._changed:
            self._results.clear()
        while waiting or len(self._results) < len(values):
            frames = [self._frame(*waiting.popleft()) for _ in range(self._wait_for_room(len(values), len(waiting)))]
            if frames:
                self._process.send(protocol.write_frame(MessageKind.JOBS, map(protocol.pack_job, frames)))
                while self._process.backlog:
                    self._process.pump(1.0)
        seconds = time.perf_counter() - began
        return seconds, [self._results[slot] for slot in range(len(values))]

    def _wait_for_room(self, count: int, waiting: int) -> int:
        """Wait until a good number of jobs can be sent, or all are answered. Returns how many can be."""

        def room() -> int:
            return min(waiting, self._in_flight - (count - waiting - len(self._results)))

        enough = min(waiting, max(1, self._in_flight // 8))
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._ended or (room() >= enough if waiting else len(self._results) == count), PATIENCE_S
            )
            if self._ended or not done:
                raise RuntimeError("The child does not answer.")
            return room()

    def _frame(self, slot: int, value: bytes) -> JobFrame:
        return JobFrame(slot, 1, 0, 0, 0, slot, time.time_ns() // 1000, time.time_ns() // 1_000_000, b"", {}, value)

    def stop(self) -> None:
        self._process.stop(5.0)


@contextmanager
def running(records: Records, device: type[Any], policy: str, place: str) -> Iterator[Child]:
    """Start a child that serves this device on `place` (cpu, cuda:0) under a policy (JSON), and end it."""
    with tempfile.TemporaryDirectory(prefix="bench-device-") as name:
        folder = Path(name)
        path = _installed(folder / "site", device)
        with variables({"PYTHONPATH": path, OPTION: policy}):
            config = ChildConfig(
                processor="echo",
                worker_id="bench",
                device=place,
                scratch=str(folder),
                settings={
                    "home": str(folder),
                    "schema_registry_url": "http://127.0.0.1:9",
                    "log_level": "warning",
                    "rollout": f"echo={device.version}",
                },
                topics=[["requests.echo", "tid"], ["requests.echo.bulk", "tid2"]],
                schema_ids=records.schema_ids,
            )
            child = Child(config, device.policy.in_flight)
            try:
                child.wait_until_ready()
                yield child
            finally:
                child.stop()


def _installed(site: Path, device: type[Any]) -> str:
    """Make a version of echo known by an entry point of its own; return the PYTHONPATH to run with."""
    version = device.version
    info = site / f"bench_{version}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bench-{version}\nVersion: 1.0\n")
    target = f"{device.__module__}:{device.__qualname__}"
    (info / "entry_points.txt").write_text(f"[sluice.processors]\necho@{version} = {target}\n")
    return os.pathsep.join([str(site), str(Path(__file__).parents[1])])
