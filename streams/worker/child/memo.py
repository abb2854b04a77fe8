"""Reuses the output of a processor with `Policy.memoize`: equal input, model and code give the stored output, and nothing runs.

A memo is the Result of the run that made it, as an object under a name (connectors.memos), which tells tenants apart. Its files
are not kept for it: a memo whose file is gone counts as none. No memo fails a job: if the store does not answer, the job runs.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.memos import memo_key, memo_name
from schemas.codec import FRAME, Codec, schema_id_of
from schemas.errors import SluiceError
from schemas.plain import from_plain
from schemas.records import Claim
from streams import logs
from streams.worker.child.results import ResultWriter
from streams.worker.child.task import Task
from streams.worker.protocol import Flag

log = logs.get("worker")

Plain = dict[str, Any]


class Memo:
    """The memos of one version of a processor. `days`: older ones are not used. Used by all threads of the child."""

    def __init__(self, codec: Codec, writer: ResultWriter, processor: str, days: float) -> None:
        self._codec = codec
        self._writer = writer
        self._oldest = timedelta(days=days)
        self._key = memo_key(processor, writer.model_version, writer.model_sha256, writer.code_version)

    def find(self, task: Task) -> Plain | None:
        """Return the Result to reuse for a job; None if it has to run."""
        name = self._name(task)
        if name is None:
            return None
        try:
            data = task.files.get_named(name)
            return None if data is None else self._usable(task, data)
        except SluiceError as error:
            log.warning("memo_not_read", job_id=task.job.header.job_id, type=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whatever lies under the name: the job can run
            log.warning("memo_not_read", job_id=task.job.header.job_id, type=type(error).__name__)
        return None

    def keep(self, task: Task, output: Any) -> None:
        """Store the output of a job that has succeeded."""
        name = self._name(task)
        if name is None:
            return
        try:
            task.files.put_named(name, self._writer.memo(task, output))
        except SluiceError as error:
            log.warning("memo_not_stored", job_id=task.job.header.job_id, type=type(error).__name__)

    def _name(self, task: Task) -> str | None:
        """Return the name of a job's memo; None for a job that has none.

        A self-test must run. The input is hashed again: the header's hash is its producer's word, and a wrong one would bring
        the output of another input.
        """
        if task.frame.flags & Flag.TEST or task.header_bytes is None:
            return None
        header = task.job.header
        encoded = memoryview(task.frame.value)[FRAME.size + len(task.header_bytes) :]
        if hashlib.sha256(encoded).hexdigest() != header.input_sha256:
            return None
        return memo_name(header.tenant, header.input_sha256, self._key)

    def _usable(self, task: Task, data: bytes) -> Plain | None:
        if schema_id_of(data) != self._writer.encoder.schema_id:
            return None
        found = self._codec.decode(data, self._writer.encoder.parsed)
        header, info = found["header"], found["result"]
        ours = task.job.header
        if any(header[name] != getattr(ours, name) for name in ("tenant", "processor", "input_sha256")):
            return None
        if datetime.now(UTC) - info["timings"]["finished_at"] > self._oldest:
            return None
        files = [from_plain(Claim, ref) for ref in info["output_refs"]]
        return found if all(task.files.has(claim) for claim in files) else None
