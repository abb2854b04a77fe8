"""Client of a sluice gateway: submit jobs, wait for outcomes, stream progress, verify callbacks.

Imports httpx and the standard library. `Client` and `AsyncClient` are thin shells; every decision is made in operations without
I/O (`jobs`, `events`, `download`, `upload`). Start reading at `wire.py`.
"""

from sluice_client.async_client import AsyncClient
from sluice_client.callbacks import Callback, verify
from sluice_client.client import Client
from sluice_client.context import VERSION, Limits, Retry
from sluice_client.errors import (
    BadSignature,
    Conflict,
    DeadlineCannotBeMet,
    Forbidden,
    HashMismatch,
    InvalidInput,
    JobFailed,
    NotFinished,
    NotFound,
    PayloadTooLarge,
    QuotaExceeded,
    Refused,
    SluiceError,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    UnknownProcessor,
    Unreachable,
    UsageError,
    WaitTimeout,
)
from sluice_client.models import (
    Batch,
    Claim,
    Event,
    File,
    Job,
    JobError,
    OutcomeEvent,
    ProcessorInfo,
    ProgressEvent,
    QueuePlace,
    Result,
    StateEvent,
    TextEvent,
    Upload,
)
from sluice_client.options import BatchOptions, EventFilter, JobFilter, JobOptions

__all__ = [
    "AsyncClient",
    "BadSignature",
    "Batch",
    "BatchOptions",
    "Callback",
    "Claim",
    "Client",
    "Conflict",
    "DeadlineCannotBeMet",
    "Event",
    "EventFilter",
    "File",
    "Forbidden",
    "HashMismatch",
    "InvalidInput",
    "Job",
    "JobError",
    "JobFailed",
    "JobFilter",
    "JobOptions",
    "Limits",
    "NotFinished",
    "NotFound",
    "OutcomeEvent",
    "PayloadTooLarge",
    "ProcessorInfo",
    "ProgressEvent",
    "QueuePlace",
    "QuotaExceeded",
    "Refused",
    "Result",
    "Retry",
    "SluiceError",
    "StateEvent",
    "TextEvent",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "UnknownProcessor",
    "Unreachable",
    "Upload",
    "UsageError",
    "WaitTimeout",
    "verify",
]

__version__ = VERSION
