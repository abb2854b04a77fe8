"""Compares an outcome with what is installed here: the weights and the code of its version, and what they compute now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from connectors.claim_store import ClaimStore
from connectors.views import JobView
from processors.code_version import code_version
from processors.local import LocalJobContext
from processors.protocol import AnyProcessor, Job, LoadContext
from processors.weights import sha256_of, weights_beside
from schemas.contract import contract
from schemas.envelope import header_of
from schemas.errors import JobError, ModelNotFound, SluiceError
from schemas.plain import from_plain, to_plain
from schemas.records import Claim
from streams.receipts.checks import Comparison, as_json, differences, differs, ok, summary, unchecked
from streams.worker.child.loader import WorkerLoadContext, find_processor


class _LoadContext(WorkerLoadContext):
    """Notes files of weights that are not what their version expects."""

    def __init__(self, processor: type[Any], device: str, weights_dir: Path | None) -> None:
        super().__init__(processor, device, weights_dir)
        self.altered: list[str] = []

    def weights(self, name: str, sha256: str) -> Path:
        try:
            return super().weights(name, sha256)
        except ModelNotFound:
            for folder in filter(None, (self._weights_dir, weights_beside(self._processor))):
                if (folder / name).is_file():
                    found = sha256_of(folder / name)
                    self.altered.append(f"{name} hashes to {found[:16]}…, its version expects {sha256[:16]}…")
                    break
            raise


class Installed:
    """The version that made an outcome, on this machine. `device`: where it is loaded."""

    def __init__(self, view: JobView, device: str, weights_dir: Path | None) -> None:
        self._view = view
        self._device = device
        self._weights_dir = weights_dir
        #: The processor, once it was loaded.
        self.processor: AnyProcessor | None = None
        self.used_device = ""
        self._why = ""

    def checks(self) -> Iterator[Comparison]:
        """Compare weights and code. Loads the processor."""
        receipt = self._view.receipt
        if receipt is None or receipt.model_version is None:
            self._why = "no worker ran the job"
            yield unchecked("model", self._why)
            return
        try:
            processor = find_processor(self._view.processor, receipt.model_version)
        except SluiceError as error:
            self._why = f"version {receipt.model_version} is not installed here"
            yield unchecked("model", f"{self._why} ({error.code})")
            return
        yield self._code(processor)
        yield self._model(processor)

    def _code(self, processor: AnyProcessor) -> Comparison:
        """Compare the code. Other code is no fault of the outcome: an installation is upgraded."""
        theirs = self._view.receipt and self._view.receipt.code_version
        ours = code_version(type(processor))
        return ok("code", ours) if ours == theirs else unchecked("code", f"{theirs or 'unknown'}; here it is {ours}")

    def _model(self, processor: AnyProcessor) -> Comparison:
        context = _LoadContext(type(processor), self._device, self._weights_dir)
        try:
            processor.load(cast(LoadContext, context))
        except Exception as error:  # noqa: BLE001 - a processor may raise anything
            if context.altered:
                self._why = "the weights differ"
                return differs("model", context.altered[0])
            self._why = f"version {processor.version} can't be loaded here ({type(error).__name__})"
            return unchecked("model", self._why)
        self.processor, self.used_device = processor, context.used_device
        theirs = (self._view.receipt and self._view.receipt.model_sha256) or ""
        if theirs != processor.model_sha256:
            here = _short(processor.model_sha256)
            return differs("model", f"the receipt says {_short(theirs)}; version {processor.version} here has {here}")
        return ok("model", f"version {processor.version}, {_short(theirs)}")

    def rerun(self, request: Mapping[str, Any], store: ClaimStore, why_not: str = "") -> Comparison:
        """Run the job again in this process and compare the output. `why_not`: the reason why there is no request."""
        if self.processor is None or why_not:
            return unchecked("rerun", why_not or self._why)
        view, made = self._view, contract(self._view.processor)
        with TemporaryDirectory(prefix="sluice-") as folder:
            context = _JobContext(Path(folder), store)
            job = Job(header_of(request), from_plain(made.input, request["input"]))
            try:
                output, code = self._run(self.processor, job, context), None
            except JobError as error:
                output, code = None, str(error.code)
            except Exception as error:  # noqa: BLE001 - a processor may raise anything
                output, code = None, type(error).__name__
        if code is not None or view.error is not None:
            stored = view.error.code if view.error is not None else "a success"
            same = view.error is not None and code == view.error.code
            return (
                ok("rerun", f"fails with {code}, too")
                if same
                else differs("rerun", f"{code or 'succeeds'}; stored is {stored}")
            )
        found = list(differences({"output": as_json(to_plain(output))}, {"output": view.output}))
        there = view.receipt.device if view.receipt is not None else None
        where = f" (on {self.used_device}; the outcome was made on {there})" if there != self.used_device else ""
        return (
            differs("rerun", summary(found) + where) if found else ok("rerun", f"the same output, bit for bit{where}")
        )

    @staticmethod
    def _run(processor: AnyProcessor, job: Job[Any], context: LocalJobContext) -> Any:
        (raw,) = processor.run([processor.prepare(job, context)])
        if isinstance(raw, JobError):
            raise raw
        return processor.finish(job, raw, context)


class _JobContext(LocalJobContext):
    """Reads from the object store and stores nothing there."""

    def __init__(self, folder: Path, store: ClaimStore) -> None:
        super().__init__(folder)
        self._store = store

    def open(self, claim: Claim) -> Path:
        return self._store.fetch(claim, self.folder)


def _short(sha256: str) -> str:
    return f"sha256 {sha256[:16]}…" if sha256 else "no weights"
