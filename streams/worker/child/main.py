"""The child process: holds the model, runs jobs and answers them. Start it with `python -m streams.worker.child.main`.

One thread reads frames, the main thread owns the device. The process ends when its parent closes the pipe or dies.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from processors.policy import worker_count
from schemas.errors import ExitCode, SluiceError
from streams import logs
from streams.settings import Settings
from streams.worker import protocol
from streams.worker.child.assembly import build_job_runner, facts_of
from streams.worker.child.channel import Inbox, ParentChannel
from streams.worker.child.executor import BatchExecutor
from streams.worker.child.exit import die_with_parent, hide_pipes_from_forks, run_and_exit, startup_timeout, tune_gc
from streams.worker.child.helped import HelpedExecutor, Helper, HelperLost
from streams.worker.child.helper_messages import HelperConfig, ModelFacts
from streams.worker.child.inline import InlineExecutor, PreparedExecutor
from streams.worker.child.job_runner import DeviceLost, JobRunner
from streams.worker.child.loader import Loaded, load_versions
from streams.worker.child.pipe_channel import PipeChannel
from streams.worker.child.threaded import ThreadedExecutor
from streams.worker.child.versions import ModelVersions
from streams.worker.protocol import ChildConfig, MessageKind


def main(argv: list[str]) -> int:
    """Run the child. `argv`: the file descriptors to read from and write to, and the parent's process id."""
    faulthandler.enable()  # a fault in native code leaves its traceback in the log
    die_with_parent(int(argv[2]))
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
    tune_gc()
    try:
        executor.work(inbox)
    except (DeviceLost, HelperLost):
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
        helpers = _start_helpers(config, runner, facts_of(loaded))
    executor = HelpedExecutor(runner, channel, helpers) if helpers else choose_executor(runner, channel)
    return executor, _readiness(runner.models, loaded, helpers)


def _start_helpers(config: ChildConfig, runner: JobRunner, facts: list[ModelFacts]) -> list[Helper]:
    """Start as many helper processes as the policy asks for, and wait until all are ready. Raises StartupError."""
    count = worker_count(runner.models.default.policy.processes)
    helpers = [Helper(HelperConfig(config, facts), runner) for _ in range(count)]
    for helper in helpers:
        helper.wait_until_ready()
    return helpers


def choose_executor(runner: JobRunner, channel: ParentChannel) -> BatchExecutor:
    """Return the executor of a process without helpers: with CPU threads if the policy asks for threads or for processes, else
    one that prepares first if batches depend on it."""
    policy = runner.models.default.policy
    if threads := worker_count(policy.threads or policy.processes):
        return ThreadedExecutor(runner, channel, threads)
    return PreparedExecutor(runner, channel) if runner.models.prepares_first else InlineExecutor(runner, channel)


def _readiness(models: ModelVersions, loaded: list[Loaded], helpers: Sequence[Helper] = ()) -> dict[str, Any]:
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
        "helpers": [helper.process.pid for helper in helpers],
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


if __name__ == "__main__":
    run_and_exit(lambda: main(sys.argv[1:]))
