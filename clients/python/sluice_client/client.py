"""The synchronous client: carries the commands of operations out on an `httpx.Client`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack

import httpx

from sluice_client import events, jobs
from sluice_client.context import Limits, Retry, context_of
from sluice_client.download import download
from sluice_client.http import arguments, blocks_of, broken_by, head_of
from sluice_client.models import Batch, Event, File, Job, ProcessorInfo, Result, TextEvent, Upload
from sluice_client.options import BatchOptions, EventFilter, JobFilter, JobOptions
from sluice_client.upload import UploadFacts, source_of, upload
from sluice_client.wire import (
    Answer,
    Blocking,
    Command,
    Done,
    Emit,
    FileSlice,
    Open,
    OpenFile,
    Operation,
    Read,
    Request,
    Sleep,
    Stream,
    advance,
)

T = TypeVar("T")


class Client:
    """Connection to a gateway. A context manager; threads may share it, and processes that are forked from this one.

    `url` and `token` default to SLUICE_GATEWAY_URL and SLUICE_GATEWAY_TOKEN. `http` is an `httpx.Client` of your own, for
    certificates or a proxy; it is not closed with this client. Every method raises SluiceError or one of its kinds.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        limits: Limits | None = None,
        retry: Retry | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        self._context = context_of(url, token, limits, retry)
        self._owned = http is None
        self._by_process = {os.getpid(): http or httpx.Client()}
        self._forked = threading.Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._owned:
            self._http.close()

    @property
    def _http(self) -> httpx.Client:
        """The connections of this process: a process that forks (gunicorn, Celery) must not share them with its children."""
        process = os.getpid()
        if process not in self._by_process:
            if not self._owned:
                return next(iter(self._by_process.values()))
            with self._forked:
                if process not in self._by_process:
                    self._by_process[process] = httpx.Client()
        return self._by_process[process]

    def submit(
        self, processor: str, input: object, *, idempotency_key: str | None = None, **options: Unpack[JobOptions]
    ) -> Job:
        """Submit a job and return it as accepted: from now on it ends in exactly one outcome.

        `input`: a mapping, or a dataclass, by the processor's input schema. Without an idempotency key one is made for this
        call, so that a retry after a broken connection makes no second job; give one to make repeated calls one job too.
        Raises Conflict if the key was used with another input, UnknownProcessor, InvalidInput, QuotaExceeded,
        DeadlineCannotBeMet.
        """
        return self._run(jobs.submit(self._context, processor, input, idempotency_key, options))

    def submit_batch(
        self,
        processor: str,
        inputs: Iterable[object],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[BatchOptions],
    ) -> Batch:
        """Submit up to 10,000 jobs under one handle; all are accepted, or none."""
        return self._run(jobs.submit_batch(self._context, processor, inputs, idempotency_key, options))

    def job(self, job_id: str, *, run: int | None = None) -> Job:
        """Return a job; `run` is an earlier run of a job that was replayed. Raises NotFound."""
        return self._run(jobs.job(self._context, job_id, run))

    def jobs(self, *, page: int = 100, **filters: Unpack[JobFilter]) -> Iterator[Job]:
        """Yield the jobs that match all filters, newest first; fetched `page` at a time."""
        return self._stream(jobs.jobs(self._context, filters, page))

    def wait(self, job_id: str, timeout_s: float | None = None, *, run: int | None = None) -> Job:
        """Return the job once it has ended. Raises WaitTimeout after `timeout_s` seconds (None: no limit)."""
        return self._run(jobs.wait(self._context, job_id, timeout_s, run))

    def result(self, job_id: str, *, run: int | None = None) -> Result:
        """Return how a job ended. Raises NotFinished before it has."""
        return self._run(jobs.result(self._context, job_id, run))

    def cancel(self, job_id: str, reason: str | None = None) -> Job:
        """Ask for a job to be cancelled. A job that has ended stays as it is."""
        return self._run(jobs.cancel(self._context, job_id, reason))

    def batch(self, batch_id: str) -> Batch:
        """Return a batch with its jobs counted by state."""
        return self._run(jobs.batch(self._context, batch_id))

    def wait_batch(self, batch_id: str, timeout_s: float | None = None) -> Batch:
        """Return the batch once all its jobs have ended. Raises WaitTimeout after `timeout_s` seconds (None: no limit)."""
        return self._run(jobs.wait_batch(self._context, batch_id, timeout_s))

    def cancel_batch(self, batch_id: str) -> Batch:
        """Ask for all jobs of a batch to be cancelled."""
        return self._run(jobs.cancel_batch(self._context, batch_id))

    def processors(self) -> tuple[ProcessorInfo, ...]:
        """Return the processors that take jobs, with their input schemas."""
        return self._run(jobs.processors(self._context))

    def events(
        self, job_id: str | None = None, *, after: str | None = None, **filters: Unpack[EventFilter]
    ) -> Iterator[Event]:
        """Yield the events of a job until its outcome; without a job, those of all jobs that match, without end.

        Connects again by itself, without loss and without repetition. To go on in another process, keep the `id` of the last
        event that you have handled, and pass it as `after`.
        """
        return self._stream(events.follow(self._context, job_id, filters, after))

    def text(self, job_id: str) -> Iterator[TextEvent]:
        """Yield the text of a language model as it is written, until the job ends."""
        return self._stream(events.texts(self._context, job_id))

    def download(self, file: File, path: str | os.PathLike[str]) -> Path:
        """Fetch a file of a result to `path`, and return where it is.

        In a folder, the file gets its own name. A path that ends with `/` is a folder, and is made if there is none.

        The target appears when the file is whole and its hash is right. A download that was cut off, also by the end of the
        process, is continued. Raises HashMismatch, OSError.
        """
        return self._run(download(self._context, file, path))

    def upload(
        self,
        file: str | os.PathLike[str] | bytes | OpenFile,
        *,
        kind: str | None = None,
        case_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        filename: str | None = None,
        content_type: str | None = None,
        resume: str | os.PathLike[str] | None = None,
    ) -> Upload:
        """Store a file and return it; its `claim` goes into the input of a job.

        `file`: a path, bytes, or a binary file that is open and can seek, such as an uploaded one in Django (`request.FILES`)
        or FastAPI (`UploadFile.file`). Streamed and never whole in memory. A large file is sent in parts, and continued after
        a broken connection. `resume`: a small file that remembers where the upload is, so that another process can continue
        it; removed at the end. `labels`: names and texts that the router's rules can ask for.
        """
        source, memory = source_of(file), None if resume is None else Path(resume)
        return self._run(
            upload(self._context, source, UploadFacts(kind, case_id, labels), filename, content_type, memory)
        )

    def _run(self, operation: Operation[T]) -> T:
        return run(self._http, self._context.limits, operation)

    def _stream(self, operation: Stream) -> Generator[Any, None, None]:
        with closing(_Performer(self._http, self._context.limits)) as performer, closing(operation):
            command = advance(operation)
            while not isinstance(command, Done):
                if isinstance(command, Emit):
                    yield command.value
                    command = advance(operation)
                else:
                    command = advance(operation, performer.perform(command))


def run(http: httpx.Client, limits: Limits, operation: Operation[T]) -> T:
    """Run an operation to its result. Raises what it raises."""
    with closing(_Performer(http, limits)) as performer, closing(operation):
        command = advance(operation)
        while not isinstance(command, Done):
            command = advance(operation, performer.perform(command))
        return command.value


class _Performer:
    """Carries out the commands of one operation, and holds its open answer."""

    def __init__(self, http: httpx.Client, limits: Limits) -> None:
        self._http = http
        self._limits = limits
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def perform(self, command: Command) -> Any:
        """Return the outcome of a command; a Broken if the connection failed."""
        try:
            if isinstance(command, Open):
                return self._open(command.request)
            if isinstance(command, Read):
                return next(self._chunks, b"")
        except httpx.TransportError as error:
            return broken_by(error)
        if isinstance(command, Sleep):
            return time.sleep(command.seconds)
        assert isinstance(command, Blocking)
        return command.call()

    def _open(self, request: Request) -> Answer:
        self.close()
        content = request.content
        body = blocks_of(content) if isinstance(content, FileSlice) else content
        self._response = self._http.send(
            self._http.build_request(content=body, **arguments(request, self._limits)), stream=True
        )
        self._chunks = self._response.iter_raw()
        return head_of(self._response)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
