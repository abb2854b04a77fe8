"""The child process: holds the model, works on jobs, says what became of them. Run: `python -m streams.worker.child.main`.

One thread reads frames, the main thread owns the device. It ends when its parent's pipe does, whatever became of the parent.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from processors.policy import Order
from schemas.avsc import request_schema, result_schema
from schemas.contract import contract
from schemas.errors import SluiceError
from schemas.splice import HeaderSplice
from schemas.topics import TopicNames
from streams import logs, wiring
from streams.settings import Settings
from streams.worker import protocol
from streams.worker.child.context import Tell
from streams.worker.child.decode import RequestDecoder
from streams.worker.child.executor import BatchExecutor, Inbox
from streams.worker.child.executors import bench_for
from streams.worker.child.exit import hide_pipes_from_forks, run_and_exit, startup_timeout
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.loader import Loaded, load_versions
from streams.worker.child.results import ResultSource, ResultWriter, RetryDecider
from streams.worker.child.text import clean_progress
from streams.worker.child.versions import Model, ModelVersions, capped
from streams.worker.protocol import Answer, ChildConfig, MessageKind

_PR_SET_PDEATHSIG = 1


class PipeChannel:
    """The child's mouth: whole frames, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, frame: bytes) -> None:
        with self._lock:
            self._stream.write(frame)
            self._stream.flush()

    def started(self, slots: list[int], hard_ms: int | None) -> None:
        self.send(protocol.write_frame(MessageKind.STARTED, [protocol.pack_started(slots, hard_ms)]))

    def prepared(self, slots: list[int]) -> None:
        self.send(protocol.write_frame(MessageKind.PREPARED, [protocol.pack_slots(slots)]))

    def answers(self, answers: list[Answer]) -> None:
        if answers:
            self.send(protocol.write_frame(MessageKind.ANSWERS, map(protocol.pack_answer, answers)))

    def dropped(self, slots: list[int]) -> None:
        self.send(protocol.write_frame(MessageKind.DROPPED, [protocol.pack_slots(slots)]))

    def ceiling(self, bucket: str, max_size: int, max_cost: float | None) -> None:
        told = {"bucket": bucket, "max_size": max_size, "max_cost": max_cost}
        self.send(protocol.json_frame(MessageKind.BATCH_LIMIT, told))

    def progress(self, slot: int, stage: str, percent: float | None, message: str) -> None:
        stage, percent, message = clean_progress(stage, percent, message)
        told = {"slot": slot, "stage": stage, "percent": percent, "message": message}
        self.send(protocol.json_frame(MessageKind.PROGRESS, told))


def main(argv: list[str]) -> int:
    """argv: the file descriptors to read and write, and the parent's process id."""
    faulthandler.enable()  # a fault in native code leaves its traceback in the log
    _die_with_parent(int(argv[2]))
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to the whole group: the parent drains, then closes our pipe
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hide_pipes_from_forks(int(argv[0]), int(argv[1]))
    stream = os.fdopen(int(argv[0]), "rb", buffering=1 << 20)
    outlet = PipeChannel(os.fdopen(int(argv[1]), "wb", buffering=1 << 16))
    told = protocol.read_frame(stream)
    if told is None:
        return 0
    config = ChildConfig(**json.loads(told[1]))
    try:
        bench, ready = _set_up(config, outlet)
    except SluiceError as error:
        outlet.send(protocol.json_frame(MessageKind.BROKEN, _complaint(error)))
        return error.exit_code
    outlet.send(protocol.json_frame(MessageKind.READY, ready))
    inbox: Inbox = SimpleQueue()
    threading.Thread(target=_listen, args=(stream, inbox, bench), name="listen", daemon=True).start()
    # What was made so far lives as long as the process: the collector need never look at it again (measured: +12 %).
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    bench.work(inbox)
    outlet.send(protocol.write_frame(MessageKind.DRAINED, []))
    return 0


def _set_up(config: ChildConfig, outlet: PipeChannel) -> tuple[BatchExecutor, dict[str, Any]]:
    settings = Settings(**config.settings)
    logs.configure(settings.log_level, settings.log_format, service="worker-child", worker=config.worker_id)
    rollout = settings.rollouts.get(config.processor)
    with startup_timeout(protocol.load_trace(Path(config.scratch), os.getpid()), settings.load_timeout_s):
        loaded = load_versions(config.processor, rollout, config.device, settings.weights_dir)
    shop = build_workshop(config, settings, loaded, outlet.progress)
    return bench_for(shop, outlet), _readiness(shop.models, loaded)


def build_workshop(
    config: ChildConfig,
    settings: Settings,
    loaded: list[Loaded],
    tell: Tell,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> JobRunner:
    """Everything that jobs of one processor need. `now` is what deadlines are compared with."""
    made, names = contract(config.processor), TopicNames(settings.topic_prefix)
    codec = wiring.codec(settings, config.schema_ids)
    asked, given = request_schema(made), result_schema(made)
    request = codec.encoder(f"{names.requests(made.name)}-value", asked)
    result = codec.encoder(f"{names.results(made.name)}-value", given)
    splice = HeaderSplice(request, asked, result, given)

    def model(one: Loaded) -> Model:
        processor = one.processor
        writer = ResultWriter(result, splice, _origin(config, one), RetryDecider(processor.policy))
        return Model(processor, capped(processor.policy, settings.max_batch), writer)

    models = ModelVersions([model(one) for one in loaded], settings.rollouts.get(config.processor))
    ordered = models.default.policy.order is not Order.NONE
    intake = RequestDecoder(codec, made, request, splice, models.default.writer, ordered=ordered, now=now)
    return JobRunner(models, intake, wiring.object_store(settings), Path(config.scratch), tell)


def _origin(config: ChildConfig, loaded: Loaded) -> ResultSource:
    return ResultSource(
        worker_id=config.worker_id,
        device=loaded.context.picked.name,
        device_note=loaded.context.picked.fallback,
        model_version=loaded.processor.version,
        model_sha256=loaded.processor.model_sha256 or None,
        code_version=version("sluice"),
        topics=tuple((name, topic_id) for name, topic_id in config.topics),
    )


def _readiness(models: ModelVersions, loaded: list[Loaded]) -> dict[str, Any]:
    """What the parent needs to know of the policy, and what operators are shown: it never imports a processor itself."""
    policy = models.default.policy
    picked = loaded[0].context.picked
    return {
        "version": models.default.version,
        "versions": models.shares,  # by version, the per cent of jobs
        "device": picked.name,
        "device_reason": picked.reason,
        "device_fallback": picked.warning,
        "custody": policy.custody.value,
        "in_flight": policy.in_flight,
        "executions": policy.limits.executions,
        "cancel_grace_ms": policy.limits.cancel_grace_ms,
        "order": policy.order.value,
        "lanes": [policy.lanes.live, policy.lanes.bulk],
        "recycle_jobs": policy.recycle.jobs,
        "recycle_mib": policy.recycle.memory_mib,
        "batch": policy.batch.max_size,
        "lease_s": policy.lease.seconds,
    }


def _complaint(error: SluiceError) -> dict[str, Any]:
    return {"type": type(error).__name__, "message": error.message, "next_step": error.next_step}


def _listen(stream: BinaryIO, inbox: Inbox, bench: BatchExecutor) -> None:
    """Hand on what the parent says. A fault in here must end the process: put where the main thread raises it."""
    try:
        while (frame := protocol.read_frame(stream)) is not None:
            if frame[0] is MessageKind.CANCEL:  # not by the inbox: nobody looks into it while the device works
                bench.cancel(inbox, protocol.unpack_slots(frame[1]))
            elif frame[0] is MessageKind.RETIRE:  # as if the pipe were closed, but a cancel is still heard
                inbox.put(None)
            else:
                inbox.put(frame)
        inbox.put(None)
    except BaseException as error:  # noqa: BLE001 - raised again by the bench
        inbox.put(error)


def _die_with_parent(parent: int) -> None:
    """The kernel kills this process when the parent's thread that started it ends; that thread lives as long as the worker."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)  # it was gone before we asked


if __name__ == "__main__":
    run_and_exit(lambda: main(sys.argv[1:]))
