"""A worker's child within the simulation: the child's own decoder, executor and result writer, on threads of a process of its
own. Has the interface of streams.worker.supervision.process.ChildProcess."""

from __future__ import annotations

import itertools
from typing import Any

from connectors.memory import Clock
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker import protocol
from streams.worker.child import assembly
from streams.worker.child import main as child_main
from streams.worker.child.loader import Loaded, load
from streams.worker.child.pipe_channel import PipeChannel
from streams.worker.protocol import ChildConfig, MessageKind
from tests.injection.primitives import Queue
from tests.injection.processors import PROCESSORS
from tests.injection.simulation import SimThread, current

_pids = itertools.count(100_000)
_loaded: dict[str, Loaded] = {}
_FRAME = protocol.FRAME.size


class InProcessChild:
    #: The clock that deadlines are compared with.
    clock: Clock

    def __init__(self, config: ChildConfig, listener: Any, threads: LoopThreads) -> None:
        self.pid = next(_pids)
        self.backlog, self.resident = False, 1
        self._listener = listener
        self._config = config
        self._inbox: Any = Queue()
        self._up = Queue()
        self._status = 0
        parent = current().running.process
        self._process = current().process(parent.name, parent)
        self._process.on_kill.append(lambda: self._up.put(None))
        self._read_to_the_end = False
        self._reader = threads.new("read", self._read, lambda: self._read_to_the_end)
        self._reader.start()
        SimThread(target=self._work, name="child", process=self._process).start()

    # ── the parent's side ──

    def send(self, frame: bytes) -> None:
        while frame:
            length, kind = protocol.FRAME.unpack_from(frame)
            self._received(MessageKind(kind), frame[_FRAME : _FRAME + length])
            frame = frame[_FRAME + length :]

    def pump(self, timeout: float) -> None:
        """Nothing waits: the pipe has room for everything."""

    def kill(self) -> None:
        if not self._process.dead:
            self._status = -9
            current().kill(self._process)

    @property
    def exited(self) -> bool:
        return self._process.dead

    def reap(self) -> int:
        self.read_out()
        return self._status

    def read_out(self) -> None:
        self._reader.join()

    def stop(self, timeout: float) -> int:
        self._inbox.put(None)
        self._reader.join(timeout)
        self.kill()
        return self.reap()

    def _received(self, kind: MessageKind, body: bytes) -> None:
        if kind is MessageKind.CANCEL:
            self._executor.cancel(self._inbox, protocol.unpack_slots(body))
        else:
            self._inbox.put(None if kind is MessageKind.RETIRE else (kind, body))

    def _read(self) -> None:
        while (frame := self._up.get()) is not None:
            length, kind = protocol.FRAME.unpack_from(frame)
            self._listener.handle(self, MessageKind(kind), frame[_FRAME : _FRAME + length])
        self._listener.ended(self)
        self._read_to_the_end = True

    # ── the child's side ──

    def _work(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - a traceback in the log, and the process ends
            self._process.died.append(error)
            self._status = 1
        current().kill(self._process)

    def _run(self) -> None:
        name = self._config.processor
        if name not in _loaded:
            _loaded[name] = load(PROCESSORS[name](), "cpu", None)
        channel: Any = PipeChannel.__new__(PipeChannel)
        channel.send = self._up.put
        runner = assembly.build_job_runner(
            self._config, Settings(**self._config.settings), [_loaded[name]], channel, self.clock.now
        )
        self._executor = child_main.choose_executor(runner, channel)
        ready = child_main._readiness(runner.models, [_loaded[name]])
        channel.send(protocol.json_frame(MessageKind.READY, ready))
        self._executor.work(self._inbox)
        channel.send(protocol.write_frame(MessageKind.DRAINED, []))
