"""Parser of `text/event-stream`: bytes in, messages out. https://html.spec.whatwg.org/multipage/server-sent-events.html

Any chunking of the same bytes gives the same messages. A message counts only when the blank line after it has come, so
the id to resume after is always that of a message that was handed out.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice_client.errors import UnexpectedAnswer

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Message:
    """A dispatched event. `id` is the last id that the stream has said, in this message or an earlier one."""

    id: str
    name: str
    data: str


class SseParser:
    """`last_id` is the id to send as Last-Event-ID; `retry_s` the server's wish for the wait before connecting again."""

    def __init__(self, last_id: str = "", most_bytes: int = 64 << 20) -> None:
        self.last_id = last_id
        self.retry_s: float | None = None
        self._most_bytes = most_bytes
        self.begin()

    def begin(self) -> None:
        """Begin a connection: discard an event that the last one cut off, and keep the place."""
        #: Set by the reader once a stream has been opened.
        self.connected = False
        self._id = self.last_id
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._line = bytearray()
        self._first = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that this chunk completes. Raises UnexpectedAnswer if one is larger than the limit."""
        if self._after_cr and chunk:  # \r\n may be cut between two chunks
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        messages = []
        for part in chunk.splitlines(keepends=True) if chunk else ():
            self._line += part
            if part.endswith((b"\n", b"\r")):
                line = bytes(self._line).rstrip(b"\r\n")
                self._line.clear()
                if (message := self._take(line)) is not None:
                    messages.append(message)
        self._after_cr = chunk.endswith(b"\r")
        self._check_size()
        return messages

    def _take(self, line: bytes) -> Message | None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(line)
            self._check_size()
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
        return None

    def _dispatch(self) -> Message | None:
        data, name = self._data, self._name
        self.last_id = self._id
        self._data, self._name, self._size = [], "", 0
        return Message(self.last_id, name or "message", "\n".join(data)) if data else None

    def _check_size(self) -> None:
        if self._size + len(self._line) > self._most_bytes:
            raise UnexpectedAnswer(f"An event is larger than {self._most_bytes} bytes.", "Raise Limits.most_bytes.")
