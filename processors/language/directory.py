"""Checks a Hugging Face directory before anything reads it: what is missing or can't be trusted is named, with what to do.

Imports neither torch nor transformers, and runs no code of the directory.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from processors.weights import sha256_of
from schemas.errors import ModelNotFound

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
#: Names in an error's list.
NAMED = 10
#: Files of which one has to be there: the fast tokenizer, SentencePiece, or a vocabulary.
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_POINTER = b"version https://git-lfs"
_FETCH = "Fetch the whole directory again (`hf download`, or `git lfs pull`), and compare its size."


def checked_directory(directory: str, sha256: str = "") -> Path:
    """Return the directory of a causal language model. `sha256`: see `hash_of`; "" is not compared.

    Raises ModelNotFound if it is no directory, lacks its configuration, tokenizer, weights or one of their shards, has weights
    as pickles or as an adapter alone, or has another hash.
    """
    path = Path(directory)
    if not path.is_dir():
        raise ModelNotFound(
            f"LLM_DIR names {path.absolute()}, which is no directory.",
            next_step="Give the folder that has config.json and *.safetensors, best by an absolute path.",
        )
    _configuration(path)
    shards = _shards(path)
    if not any((path / name).is_file() for name in _TOKENIZERS):
        raise ModelNotFound(
            f"{path.name} has no tokenizer: none of {', '.join(_TOKENIZERS)}.",
            next_step="Copy the tokenizer's files there; `tokenizer.save_pretrained(folder)` writes them.",
        )
    for shard in shards:
        _readable(shard)
    if sha256 and (found := hash_of(path)) != sha256.strip().lower():
        raise ModelNotFound(
            f"{path.name} is another model than LLM_SHA256 says: expected {sha256.strip()[:64]}, found {found}.",
            next_step="Restore the directory, or set LLM_SHA256 to the hash of the new one.",
        )
    return path


def hash_of(directory: Path) -> str:
    """Return the hash of a directory: what `LC_ALL=C sha256sum *.json *.safetensors | sha256sum` prints there."""
    listing = hashlib.sha256()
    for pattern in ("*.json", "*.safetensors"):
        for file in sorted(directory.glob(pattern), key=lambda file: file.name.encode()):
            listing.update(f"{sha256_of(file)}  {file.name}\n".encode())
    return listing.hexdigest()


def _configuration(path: Path) -> None:
    if (path / "adapter_config.json").is_file():
        raise ModelNotFound(
            f"{path.name} holds an adapter, not a whole model.",
            next_step="Merge it into its base model (`merge_and_unload`), and give the folder of the result.",
        )
    config = _json(path, "config.json")
    if not isinstance(config.get("model_type"), str):
        raise ModelNotFound(f"config.json in {path.name} names no model_type.", next_step=_FETCH)


def _shards(path: Path) -> list[Path]:
    """Return the files of the weights. Raises ModelNotFound if one is missing or if there are none that can be trusted."""
    if (path / INDEX).is_file():
        places = _json(path, INDEX).get("weight_map")
        names = sorted(set(places.values()), key=str) if isinstance(places, dict) and places else []
        if not names or any(not isinstance(name, str) or not name or Path(name).name != name for name in names):
            raise ModelNotFound(f"{INDEX} in {path.name} does not list files of that folder.", next_step=_FETCH)
        missing = [name for name in names if not (path / name).is_file()]
        if missing:
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            raise ModelNotFound(
                f"{path.name} lacks {len(missing)} of {len(names)} files of weights: {', '.join(missing[:NAMED])}{more}.",
                next_step=_FETCH,
            )
        return [path / name for name in names]
    if (path / SINGLE).is_file():
        return [path / SINGLE]
    if any(file for pattern in _PICKLED for file in path.glob(pattern)):
        raise ModelNotFound(
            f"{path.name} has its weights as pickles alone; reading one could run code in it, so it is refused.",
            next_step="Save them as safetensors on a machine that may run it: `model.save_pretrained(folder)`.",
        )
    if any(path.glob("*.gguf")):
        raise ModelNotFound(
            f"{path.name} holds a GGUF file, which this loader does not read.",
            next_step="Serve it with llama.cpp, and set LLM_URL to that server.",
        )
    raise ModelNotFound(f"{path.name} has no weights: neither {SINGLE} nor {INDEX}.", next_step=_FETCH)


def _readable(shard: Path) -> None:
    """Raise ModelNotFound for a shard that is cut short, a pointer of Git LFS, or no safetensors at all."""
    from safetensors import SafetensorError, safe_open

    with shard.open("rb") as opened:
        if opened.read(len(_POINTER)) == _POINTER:
            raise ModelNotFound(f"{shard.name} is a pointer of Git LFS, not the file.", next_step="Run `git lfs pull`.")
    try:
        with safe_open(shard, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelNotFound(f"{shard.name} can't be read as safetensors: {error}.", next_step=_FETCH) from error


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((path / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelNotFound(
            f"{path.name} has no {name}, so it is no directory of a Hugging Face model.", next_step=_FETCH
        ) from None
    except (ValueError, RecursionError, OSError) as error:
        raise ModelNotFound(f"{name} in {path.name} can't be read as JSON.", next_step=_FETCH) from error
    if not isinstance(found, dict):
        raise ModelNotFound(f"{name} in {path.name} is no JSON object.", next_step=_FETCH)
    return found
