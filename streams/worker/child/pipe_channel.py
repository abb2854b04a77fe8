"""The ParentChannel of a real child: its messages as frames in the pipe to the parent."""

from __future__ import annotations

import threading
from typing import BinaryIO

from streams.worker import protocol
from streams.worker.child.text import clean_progress, clean_text
from streams.worker.protocol import Answer, MessageKind
from streams.worker.text_frame import pack_text


class PipeChannel:
    """Writes whole frames, from any thread."""

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

    def helper_lost(self, slots: list[int], reason: str) -> None:
        """Report that a helper process has died, and which jobs were in its hands: this process ends."""
        self.send(protocol.json_frame(MessageKind.HELPER_LOST, {"slots": slots, "reason": reason}))

    def progress(self, slot: int, stage: str, percent: float | None, message: str) -> None:
        stage, percent, message = clean_progress(stage, percent, message)
        fields = {"slot": slot, "stage": stage, "percent": percent, "message": message}
        self.send(protocol.json_frame(MessageKind.PROGRESS, fields))

    def text(self, slot: int, text: str, *, restart: bool = False) -> None:
        self.send(protocol.write_frame(MessageKind.TEXT, pack_text(slot, clean_text(text), restart)))
