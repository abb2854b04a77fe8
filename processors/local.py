"""Runs a processor on one machine without the engine: its contexts use a plain folder.

For model cards, tests and `sluice run-once`; the worker has its own contexts.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from processors.options import option_of
from processors.protocol import AnyProcessor, Job
from processors.weights import find_weights, sha256_of, weights_beside
from schemas.errors import ClaimMismatch, JobError
from schemas.records import Claim, JobHeader


class LocalLoadContext:
    """Finds weights in `directory`, else beside the processor's module. `options`: values of the processor's options."""

    def __init__(
        self,
        processor: type,
        device: str = "cpu",
        directory: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.device = device
        self.helper = False
        self._processor = processor
        self._options = options or {}
        self._beside = weights_beside(processor)
        self._directory = directory

    def weights(self, name: str, sha256: str) -> Path:
        return find_weights(name, sha256, beside=self._beside, directory=self._directory)

    def option(self, name: str, default: str = "") -> str:
        return option_of(self._processor, name, self._options, default)


class LocalCheckpoint:
    """Kept in memory, as long as its context."""

    def __init__(self) -> None:
        self._data: bytes | None = None

    def get(self) -> bytes | None:
        return self._data

    def put(self, data: bytes) -> None:
        self._data = data


class LocalJobContext:
    """Claims are local files: `open` takes `file://` URIs, `save` copies into `folder` under the content's hash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.soft_deadline: float | None = None
        self.checkpoint = LocalCheckpoint()
        self.stages: list[str] = []
        self.texts: list[str] = []

    def open(self, claim: Claim) -> Path:
        path = path_of(claim)
        if path.stat().st_size != claim.size or sha256_of(path) != claim.sha256:
            raise ClaimMismatch(f"{path.name} is not the file that was claimed: its size or sha256 differs.")
        return path

    def save(self, path: Path, content_type: str) -> Claim:
        return claim_of(Path(shutil.copyfile(path, self.folder / sha256_of(path))), content_type)

    def scratch(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
        self.stages.append(stage)

    def stream_text(self, text: str) -> None:
        self.texts.append(text)

    def cancelled(self) -> bool:
        return False


def claim_of(path: Path, content_type: str = "application/octet-stream") -> Claim:
    """Return a claim check for a local file."""
    return Claim(path.resolve().as_uri(), sha256_of(path), path.stat().st_size, content_type)


def path_of(claim: Claim) -> Path:
    """Return the local file of a claim that `claim_of` made."""
    return Path(unquote(urlparse(claim.uri).path))


def loaded(processor: type[AnyProcessor], device: str = "cpu") -> Any:
    """Return an instance with its model loaded."""
    instance = processor()
    instance.load(LocalLoadContext(processor, device))
    return instance


def job_for(processor: AnyProcessor, job_input: Any) -> Job[Any]:
    """Return a job with this input and a minimal header."""
    return Job(JobHeader("local", processor.name, datetime.now(UTC), input_sha256=""), job_input)


def run_one(
    processor: AnyProcessor,
    job_input: Any,
    folder: Path,
    context: LocalJobContext | None = None,
    header: JobHeader | None = None,
) -> Any:
    """Run one job from input to output. Its files are in `folder`, unless `context` says otherwise. Raises the job's error.

    `header`: of a real job; None for a minimal one.
    """
    job = job_for(processor, job_input) if header is None else Job(header, job_input)
    context = context or LocalJobContext(folder)
    (raw,) = processor.run([processor.prepare(job, context)])
    if isinstance(raw, JobError):
        raise raw
    return processor.finish(job, raw, context)
