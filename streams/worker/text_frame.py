"""The frame of text that a job generates, from the child to its parent."""

from __future__ import annotations

import struct

#: Characters of generated text that one execution of a job may stream; the rest is left out.
LONGEST_STREAM = 1_000_000

_HEAD = struct.Struct("<I?")


def pack_text(slot: int, text: str, restart: bool) -> tuple[bytes, bytes]:
    """Pack generated text. `restart`: the job generates it from its beginning again."""
    return _HEAD.pack(slot, restart), text.encode()


def unpack_text(body: bytes) -> tuple[int, str, bool]:
    slot, restart = _HEAD.unpack_from(body)
    return slot, body[_HEAD.size :].decode(), restart
