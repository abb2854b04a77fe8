"""Reads the stream of a chat completion: server-sent events whose data are OpenAI's chunks. Trusts no length and no form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

#: Bounds of an answer: bytes as they come, of one line of it, and characters of its text (as many as a job may stream).
MAX_BYTES = 64 << 20
MAX_LINE = 256 << 10
MAX_TEXT = 1_000_000
_MOST_TOKENS = 1 << 31
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class Garbled(Exception):
    """The server sent something that is no chat completion; the text says which rule it broke, and quotes nothing."""


class TooLong(Exception):
    """The server sent more than the bounds allow."""


@dataclass(slots=True)
class Completion:
    """An answer as far as it has come. `finish`: the server's reason for its end, None while there is none.

    `tokens`: as the server counts them, else the number of pieces.
    """

    on_text: Callable[[str], None] | None = None
    finish: str | None = None
    tokens: int | None = None
    _pieces: list[str] = field(default_factory=list)
    _length: int = 0

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def count(self) -> int:
        return len(self._pieces) if self.tokens is None else self.tokens

    def add(self, data: str) -> None:
        """Take in a chunk, or a whole answer that was not streamed. Raises Garbled, TooLong."""
        chunk = _decoded(data)
        usage = chunk.get("usage")
        if (
            isinstance(usage, dict)
            and type(count := usage.get("completion_tokens")) is int
            and 0 <= count < _MOST_TOKENS
        ):
            self.tokens = count
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise Garbled("a chunk without choices")
        if not choices:
            return  # the last chunk, with the usage alone
        choice = choices[0] if isinstance(choices[0], dict) else {}
        part = choice.get("delta", choice.get("message"))
        content = part.get("content") if isinstance(part, dict) else None
        if isinstance(content, str):
            self._append(clean(content))
        elif content is not None:
            raise Garbled("content that is no text")
        if isinstance(choice.get("finish_reason"), str):
            self.finish = choice["finish_reason"]

    def _append(self, text: str) -> None:
        if not text:
            return
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise TooLong(f"more than {MAX_TEXT:,} characters")
        self._pieces.append(text)
        if self.on_text is not None:
            self.on_text(text)


def clean(text: str) -> str:
    """Return the text without what no database stores: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def bounded(pieces: Iterable[bytes], most: int = MAX_BYTES) -> Iterator[bytes]:
    """Pass pieces on. Raises TooLong once they are more than `most` bytes."""
    left = most
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise TooLong(f"more than {most:,} bytes")
        yield piece


def event_data(pieces: Iterable[bytes]) -> Iterator[str]:
    """Return the data of each event. Comments and other fields are passed over. Raises Garbled, TooLong."""
    data: list[str] = []
    size = 0
    for line in _lines(pieces):
        if not line and data:
            yield "\n".join(data)
            data, size = [], 0
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
            size += len(line)
            if size > MAX_LINE:
                raise TooLong(f"an event of more than {MAX_LINE:,} bytes")
    if data:
        yield "\n".join(data)


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield _text(line)
        if len(rest) > MAX_LINE:
            raise TooLong(f"a line of more than {MAX_LINE:,} bytes")
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise Garbled("bytes that are not UTF-8") from error


def _decoded(data: str) -> dict[str, Any]:
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Garbled("data that are not JSON") from error
    if not isinstance(chunk, dict):
        raise Garbled("a chunk that is no object")
    if chunk.get("error"):
        raise Garbled(f"an error in its stream{error_name(chunk)}")
    return chunk


def error_name(answer: object) -> str:
    """Return the name of a server's error in brackets, "" if it has none. Its text is not repeated: it may quote the prompt."""
    error = answer.get("error") if isinstance(answer, dict) else None
    names = (error.get("code"), error.get("type")) if isinstance(error, dict) else ()
    return next((f" ({name})" for name in names if isinstance(name, str) and _NAME.fullmatch(name)), "")
