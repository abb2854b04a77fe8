"""Explains one dead letter: its headers, its value or why it has none, and what a redrive would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connectors.dead_letter_store import DeadLetter
from connectors.replay_store import ERASED
from schemas import headers
from schemas.codec import Codec
from schemas.errors import SluiceError, UndecodableRecord
from streams.timekeeper.redrive import Letter, kept_headers

#: Bytes of a value that are shown as hex.
MOST_BYTES = 4096
GONE = "The log does not have its record any more."


@dataclass(frozen=True, slots=True)
class LetterDetails:
    """A dead letter with its record. `value`: decoded; else `undecodable` says why not, and `hex` has the first bytes.
    `message`: why it was rejected, in full. `without_value`: it was published without its value; `value` is then that of its
    original, if the log has it. `redrive`: what a redrive would do."""

    letter: DeadLetter
    message: str
    key: str | None
    headers: dict[str, str]
    reasons: dict[str, str]
    without_value: bool
    value: Any
    undecodable: str | None
    hex: str | None
    redrivable: bool
    redrive: str


def details_of(codec: Codec, row: DeadLetter, letter: Letter | None, redrivable: bool, redrive: str) -> LetterDetails:
    """Put together what is known of a dead letter. Raises Unreachable if a schema can't be fetched now."""
    if letter is None or row.erased:
        reason = ERASED if row.erased else GONE
        return LetterDetails(
            row, row.summary or "", None, {}, {}, row.bytes is None, None, reason, None, redrivable, redrive
        )
    value, undecodable = _decoded(codec, letter.value)
    return LetterDetails(
        letter=row,
        message=letter.reasons.get(headers.DL_MESSAGE, ""),
        key=None if letter.key is None else letter.key.decode("utf-8", "backslashreplace"),
        headers=kept_headers(letter.headers),
        reasons=letter.reasons,
        without_value=row.bytes is None,
        value=value,
        undecodable=undecodable,
        hex=letter.value[:MOST_BYTES].hex() if undecodable and letter.value else None,
        redrivable=redrivable,
        redrive=redrive,
    )


def _decoded(codec: Codec, value: bytes | None) -> tuple[Any, str | None]:
    if value is None:
        return None, "It was published without its value, and its original is no longer in the log."
    try:
        return codec.decode(value), None
    except UndecodableRecord as error:
        return None, error.message
    except SluiceError:
        raise
    except Exception as error:  # noqa: BLE001 - bytes from outside; the text may quote them
        return None, f"It can't be decoded: {type(error).__name__}."


def hex_dump(text: str, most: int = 512) -> str:
    """Return bytes, given as hex, as lines of 16 with their printable characters."""
    data = bytes.fromhex(text)[:most]
    lines = []
    for begin in range(0, len(data), 16):
        part = data[begin : begin + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"  {begin:06x}  {part.hex(' '):<47}  {shown}")
    return "\n".join(lines)
