"""The whole error tree.

SluiceError                 base of all deliberate errors; carries `code`, `retryable` and `next_step`
├── UsageError              the caller's request or configuration is invalid              (exit 2)
├── NotFound                no such job, topic or object                                  (exit 5)
├── Unreachable             a dependency does not answer                                  (exit 6)
├── Conflict                the same id with other content, or a state that forbids it    (exit 7)
├── UndecodableRecord       bytes that do not match the schema of their topic             → dead letter
│   ├── UnknownSchema       the registry does not know the id in the frame
│   └── HeaderMismatch      Kafka headers contradict the Avro value
├── StartupError            a service can't start: broken processor, missing weights, bad setting
├── LoopDied                a loop of a service has ended by itself, and the service with it: start it again
└── JobError                one job failed, not its batch; becomes the error of its outcome. Retried as its class says:
    ├── InvalidInput        never: the input can't succeed
    │   ├── UnknownProcessor    never
    │   ├── ClaimMismatch   never: a claim check whose bytes have another sha256 or size
    │   └── PayloadTooLarge never
    ├── ModelNotFound       never: weights missing, altered or unreadable
    ├── OutOfMemory         retried: the device could not hold even this one job
    ├── DeviceFault         never: the device failed under this job, and again when it ran alone in a new process
    ├── JobTimeout          retried: the hard limit passed
    ├── DeadlineExceeded    never: the deadline passed before the job was done
    ├── JobCancelled        never: the job was cancelled on request
    ├── ConnectionFailed    retried: a dependency of the job did not answer
    │   └── StoreUnavailable    retried until the job's deadline, whatever its attempts: the object store did not answer
    ├── WorkerLost          never: the process or the worker died in each execution, up to the limit (`Limits.executions`)
    └── ProcessorBug        never: any other exception, Python's ConnectionError included, becomes this one

An error outside JobError that a processor lets through keeps its code, and is retried if it is Unreachable.

Error codes are strings on the wire, because FULL_TRANSITIVE compatibility does not allow new enum symbols.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """Codes on the wire. Codes that this version does not know are read as UNKNOWN."""

    INVALID_INPUT = "INVALID_INPUT"
    UNKNOWN_PROCESSOR = "UNKNOWN_PROCESSOR"
    CLAIM_MISMATCH = "CLAIM_MISMATCH"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNDECODABLE = "UNDECODABLE"
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    HEADER_MISMATCH = "HEADER_MISMATCH"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DEVICE_FAULT = "DEVICE_FAULT"
    TIMEOUT_ERROR = "TIMEOUT_ERROR"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    CONNECTION_ERROR = "CONNECTION_ERROR"
    WORKER_LOST = "WORKER_LOST"
    PROCESSOR_ERROR = "PROCESSOR_ERROR"
    UNREACHABLE = "UNREACHABLE"
    CONFLICT = "CONFLICT"
    NOT_FOUND = "NOT_FOUND"
    USAGE = "USAGE"
    STARTUP = "STARTUP"
    INTERNAL = "INTERNAL"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def _missing_(cls, value: object) -> ErrorCode:
        return cls.UNKNOWN


class ExitCode:
    """Exit statuses of the commands (listed for users in docs/operations.md)."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    JOB_FAILED = 3
    CANCELLED_OR_EXPIRED = 4
    NOT_FOUND = 5
    UNREACHABLE = 6
    CONFLICT = 7
    PARTIAL = 8
    WAIT_TIMED_OUT = 124
    INTERRUPTED = 130


class SluiceError(Exception):
    """Base of the tree. `next_step`: a sentence that says what the user can do now."""

    code: ErrorCode = ErrorCode.INTERNAL
    exit_code: int = ExitCode.INTERNAL
    retryable: bool = False

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return self.message if self.next_step is None else f"{self.message} {self.next_step}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments can't be unpickled by default, and these cross process boundaries.
        return (_rebuild, (type(self), self.message, self.next_step))


def _rebuild(cls: type[SluiceError], message: str, next_step: str | None) -> SluiceError:
    return cls(message, next_step=next_step)


class UsageError(SluiceError):
    code = ErrorCode.USAGE
    exit_code = ExitCode.USAGE


class NotFound(SluiceError):
    code = ErrorCode.NOT_FOUND
    exit_code = ExitCode.NOT_FOUND


class Unreachable(SluiceError):
    code = ErrorCode.UNREACHABLE
    exit_code = ExitCode.UNREACHABLE
    retryable = True


class Conflict(SluiceError):
    code = ErrorCode.CONFLICT
    exit_code = ExitCode.CONFLICT


class UndecodableRecord(SluiceError):
    code = ErrorCode.UNDECODABLE


class UnknownSchema(UndecodableRecord):
    code = ErrorCode.UNKNOWN_SCHEMA


class HeaderMismatch(UndecodableRecord):
    code = ErrorCode.HEADER_MISMATCH


class StartupError(SluiceError):
    code = ErrorCode.STARTUP


class LoopDied(SluiceError):
    """Exit status 1: a service manager starts the service again."""


class JobError(SluiceError):
    """Raised (or returned from `run`) by a processor: the error of one job, never of its batch.

    `retry_after_s`: wait that a dependency requested (a server's Retry-After). If the error is retried at all, the next attempt
    does not start earlier.
    """

    code = ErrorCode.PROCESSOR_ERROR
    exit_code = ExitCode.JOB_FAILED

    def __init__(self, message: str, *, next_step: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.retry_after_s = retry_after_s


class InvalidInput(JobError):
    code = ErrorCode.INVALID_INPUT


class UnknownProcessor(InvalidInput):
    code = ErrorCode.UNKNOWN_PROCESSOR
    exit_code = ExitCode.USAGE


class ClaimMismatch(InvalidInput):
    code = ErrorCode.CLAIM_MISMATCH


class PayloadTooLarge(InvalidInput):
    code = ErrorCode.PAYLOAD_TOO_LARGE
    exit_code = ExitCode.USAGE


class ModelNotFound(JobError):
    code = ErrorCode.MODEL_NOT_FOUND


class OutOfMemory(JobError):
    code = ErrorCode.OUT_OF_MEMORY
    retryable = True


class DeviceFault(JobError):
    code = ErrorCode.DEVICE_FAULT


class JobTimeout(JobError):
    code = ErrorCode.TIMEOUT_ERROR
    retryable = True


class DeadlineExceeded(JobError):
    code = ErrorCode.DEADLINE_EXCEEDED


class JobCancelled(JobError):
    code = ErrorCode.CANCELLED
    exit_code = ExitCode.CANCELLED_OR_EXPIRED


class ConnectionFailed(JobError):
    code = ErrorCode.CONNECTION_ERROR
    retryable = True


class StoreUnavailable(ConnectionFailed):
    """No fault of the job, and the same for all jobs: an outage must not use up their attempts."""


class WorkerLost(JobError):
    """Always final when the engine makes it: executions are repeated, not the attempt."""

    code = ErrorCode.WORKER_LOST
    retryable = True  # has an effect only if a processor raises it


class ProcessorBug(JobError):
    code = ErrorCode.PROCESSOR_ERROR
