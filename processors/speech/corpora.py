"""Recordings of people with what they say, from Debian packages (processors/artifacts.toml). None is shipped.

No model was trained or tuned here. Whether OpenAI's training data had these recordings is unknown: both are on the web.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

from processors.artifacts import unpacked

#: Words that a prompt has at least; shorter ones are mostly names of digits, letters and places, for joining.
LEAST_WORDS = 5


@dataclass(frozen=True, slots=True)
class Utterance:
    """A recording, and what is said in it."""

    path: Path
    text: str


def asterisk() -> list[Utterance]:
    """Return the prompts of a telephone exchange, one woman's voice at 8 kHz: those of five words and more, without digits.

    Descriptions of sounds in square brackets are no prompts.
    """
    sounds = unpacked("asterisk-core-sounds-en-wav") / "usr/share/asterisk/sounds/en_US_f_Allison"
    table = unpacked("asterisk-core-sounds-en") / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    found = []
    for line in gzip.decompress(table.read_bytes()).decode("utf-8", errors="replace").splitlines():
        name, colon, text = line.partition(":")
        text = text.strip()
        words = [word for word in text.split() if re.search("[A-Za-z]", word)]
        path = sounds / f"{name.strip()}.wav"
        usable = colon and not line.startswith(";") and not text.startswith("[") and not re.search(r"\d", text)
        if usable and len(words) >= LEAST_WORDS and path.is_file():
            found.append(Utterance(path, text))
    return found


def librivox() -> list[Utterance]:
    """Return five sentences of a novel, read by a volunteer of LibriVox, at 16 kHz."""
    folder = unpacked("pocketsphinx-testdata") / "usr/share/pocketsphinx/test/data/librivox"
    lines = (folder / "transcription").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"<s> (.+) </s> \((.+)\)", line.strip()) for line in lines]
    return [Utterance(folder / f"{match[2]}.wav", match[1]) for match in found if match]
