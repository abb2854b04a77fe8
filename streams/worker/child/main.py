"""The child process: holds the model, runs jobs and answers them. Start it with `python -m streams.worker.child.main`.

One thread reads frames, the main thread owns the device. The process ends when its parent closes the pipe or dies.
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
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO

from processors.code_version import code_version
from processors.policy import Order, Policy
from schemas.avsc import request_schema, result_schema
from schemas.contract import contract
from schemas.errors import ExitCode, SluiceError
from schemas.splice import HeaderSplice
from schemas.topics import TopicNames
from streams import logs, wiring
from streams.settings import Settings
from streams.worker import protocol
from streams.worker.child.channel import Inbox, ParentChannel
from streams.worker.child.context import Reports
from streams.worker.child.decode import RequestDecoder
from streams.worker.child.executor import BatchExecutor
from streams.worker.child.exit import hide_pipes_from_forks, run_and_exit, startup_timeout
from streams.worker.child.inline import InlineExecutor, PreparedExecutor
from streams.worker.child.job_runner import DeviceLost, JobRunner
from streams.worker.child.loader import Loaded, load_versions
from streams.worker.child.pipelined import PipelinedExecutor
from streams.worker.child.results import ResultWriter
from streams.worker.child.retry import RetryDecider
from streams.worker.child.text import clean_progress, clean_text
from streams.worker.child.versions import Model, ModelVersions, capped
from streams.worker.protocol import Answer, ChildConfig, MessageKind
from streams.worker.text_frame import pack_text

if TYPE_CHECKING:
    from schemas.codec import Codec
    from streams.worker.child.memo import Memo

_PR_SET_PDEATHSIG = 1


class PipeChannel:
    """The ParentChannel of a real child: writes whole frames to its pipe, from any thread."""

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

    def discarded(self, slots: list[int]) -> None:
        self.send(protocol.write_frame(MessageKind.DISCARDED, [protocol.pack_slots(slots)]))

    def batch_limit(self, bucket: str, max_size: int, max_cost: float | None) -> None:
        fields = {"bucket": bucket, "max_size": max_size, "max_cost": max_cost}
        self.send(protocol.json_frame(MessageKind.BATCH_LIMIT, fields))

    def device_lost(self, slots: list[int], reason: str) -> None:
        self.send(protocol.json_frame(MessageKind.DEVICE_LOST, {"slots": slots, "reason": reason}))

    def progress(self, slot: int, stage: str, percent: float | None, message: str) -> None:
        stage, percent, message = clean_progress(stage, percent, message)
        fields = {"slot": slot, "stage": stage, "percent": percent, "message": message}
        self.send(protocol.json_frame(MessageKind.PROGRESS, fields))

    def text(self, slot: int, text: str, *, restart: bool = False) -> None:
        self.send(protocol.write_frame(MessageKind.TEXT, pack_text(slot, clean_text(text), restart)))


def main(argv: list[str]) -> int:
    """Run the child. `argv`: the file descriptors to read from and write to, and the parent's process id."""
    faulthandler.enable()  # a fault in native code leaves its traceback in the log
    _die_with_parent(int(argv[2]))
    # Ctrl-C goes to the whole process group: the parent drains, then closes our pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hide_pipes_from_forks(int(argv[0]), int(argv[1]))
    stream = os.fdopen(int(argv[0]), "rb", buffering=1 << 20)
    channel = PipeChannel(os.fdopen(int(argv[1]), "wb", buffering=1 << 16))
    first = protocol.read_frame(stream)
    if first is None:
        return 0
    config = ChildConfig(**json.loads(first[1]))
    try:
        executor, ready = _set_up(config, channel)
    except SluiceError as error:
        fields = {"type": type(error).__name__, "message": error.message, "next_step": error.next_step}
        channel.send(protocol.json_frame(MessageKind.BROKEN, fields))
        return error.exit_code
    channel.send(protocol.json_frame(MessageKind.READY, ready))
    inbox: Inbox = SimpleQueue()
    threading.Thread(target=_read_frames, args=(stream, inbox, executor), name="listen", daemon=True).start()
    # The objects made so far live as long as the process, so the collector need not look at them again (measured: +12 %).
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        executor.work(inbox)
    except DeviceLost:
        return ExitCode.INTERNAL  # the parent knows why
    channel.send(protocol.write_frame(MessageKind.DRAINED, []))
    return 0


def _set_up(config: ChildConfig, channel: PipeChannel) -> tuple[BatchExecutor, dict[str, Any]]:
    settings = Settings(**config.settings)
    logs.configure(settings.log_level, settings.log_format, service="worker-child", worker=config.worker_id)
    rollout = settings.rollouts.get(config.processor)
    trace = protocol.load_trace(Path(config.scratch), os.getpid())
    with startup_timeout(trace, settings.load_timeout_s):
        loaded = load_versions(config.processor, rollout, config.device, settings.weights_dir)
    runner = build_job_runner(config, settings, loaded, channel)
    return choose_executor(runner, channel), _readiness(runner.models, loaded)


def build_job_runner(
    config: ChildConfig,
    settings: Settings,
    loaded: list[Loaded],
    reports: Reports,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> JobRunner:
    """Build everything that the jobs of one processor need. `now` is compared with deadlines."""
    made, names = contract(config.processor), TopicNames(settings.topic_prefix)
    codec = wiring.codec(settings, config.schema_ids)
    requests, results = request_schema(made), result_schema(made)
    request = codec.encoder(f"{names.requests(made.name)}-value", requests)
    result = codec.encoder(f"{names.results(made.name)}-value", results)
    splice = HeaderSplice(request, requests, result, results)

    def model(version_: Loaded) -> Model:
        processor, picked = version_.processor, version_.context.picked
        writer = ResultWriter(
            result,
            splice,
            RetryDecider(processor.policy),
            worker_id=config.worker_id,
            device=picked.name,
            device_note=picked.fallback,
            model_version=processor.version,
            model_sha256=processor.model_sha256 or None,
            code_version=code_version(type(processor)),
            topics=tuple((name, topic_id) for name, topic_id in config.topics),
        )
        policy = capped(processor.policy, settings.max_batch)
        return Model(processor, policy, writer, _memo(settings, policy, codec, writer, made.name))

    models = ModelVersions([model(version_) for version_ in loaded], settings.rollouts.get(config.processor))
    ordered = models.default.policy.order is not Order.NONE
    decoder = RequestDecoder(
        codec, made, request, splice, models.default.writer, writer_of=models.writer_of, ordered=ordered, now=now
    )
    return JobRunner(models, decoder, wiring.job_files(settings, config.worker_id), Path(config.scratch), reports)


def _memo(settings: Settings, policy: Policy, codec: Codec, writer: ResultWriter, processor: str) -> Memo | None:
    if not policy.memoize or not settings.memo_days:
        return None
    from streams.worker.child.memo import Memo

    return Memo(codec, writer, processor, settings.memo_days)


def choose_executor(runner: JobRunner, channel: ParentChannel) -> BatchExecutor:
    """Return an executor with CPU threads if the policy asks for them, else one that prepares first if batches depend on it."""
    if runner.models.default.policy.threads:
        return PipelinedExecutor(runner, channel)
    return PreparedExecutor(runner, channel) if runner.models.prepares_first else InlineExecutor(runner, channel)


def _readiness(models: ModelVersions, loaded: list[Loaded]) -> dict[str, Any]:
    """Return the policy for the parent, which never imports a processor, and the facts that operators are shown."""
    policy = models.default.policy
    picked = loaded[0].context.picked
    return {
        "version": models.default.version,
        "versions": models.shares,  # by version, the percentage of jobs
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
        "warm_up": any(model.warm_up is not None for model in models),
    }


def _read_frames(stream: BinaryIO, inbox: Inbox, executor: BatchExecutor) -> None:
    """Pass on the parent's frames. An error here must end the process, so it is put where the main thread raises it."""
    try:
        while (frame := protocol.read_frame(stream)) is not None:
            if frame[0] is MessageKind.CANCEL:  # not through the inbox, which no thread reads while the device works
                executor.cancel(inbox, protocol.unpack_slots(frame[1]))
            elif frame[0] is MessageKind.RETIRE:  # like a closed pipe, but cancels are still handled
                inbox.put(None)
            else:
                inbox.put(frame)
        inbox.put(None)
    except BaseException as error:  # noqa: BLE001 - raised again by the executor
        inbox.put(error)


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends. That thread lives as long as the worker."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)  # the parent died before we asked


if __name__ == "__main__":
    run_and_exit(lambda: main(sys.argv[1:]))
