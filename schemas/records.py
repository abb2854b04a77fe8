"""Records on the wire, as frozen dataclasses. The `.avsc` files are the contract; a test compares both.

All times are timezone-aware UTC. Ids are strings. States, lanes and error codes are plain `str` here, because a newer writer
may use values that this version does not know; `schemas.states` and `schemas.errors` define the known ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from schemas.contract import ProcessorContract
from schemas.states import Custody, Lane, Mode

I_ = TypeVar("I_")
O_ = TypeVar("O_")


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Position of a record in the log. `topic_id` changes when a topic is deleted and created again under the same name."""

    topic: str
    partition: int
    offset: int
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim check: a payload kept outside the log. `sha256` is lower-case hex, `size` in bytes."""

    uri: str
    sha256: str
    size: int
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class JobHeader:
    """Fields of every job, whatever its processor (docs/glossary.md defines the terms)."""

    job_id: str
    processor: str
    created_at: datetime
    input_sha256: str
    run: int = 0
    attempt: int = 1
    tenant: str = "default"
    model_version: str | None = None
    mode: str = Mode.LIVE.value
    lane: str = Lane.LIVE.value
    custody: str = Custody.OFFSET.value
    not_before: datetime | None = None
    deadline: datetime | None = None
    idempotency_key: str | None = None
    external_id: str | None = None
    case_id: str | None = None
    upload_id: str | None = None
    batch_id: str | None = None
    parent_job_id: str | None = None
    order_key: str | None = None
    max_attempts: int = 3
    soft_limit_ms: int | None = None
    hard_limit_ms: int | None = None
    callback_url: str | None = None
    callback_profile: str | None = None
    replay_id: str | None = None
    source_coordinates: Coordinates | None = None
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why an attempt failed. `fingerprint` groups similar failures by code, type and code location, not by message."""

    code: str
    message: str
    type: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Timings:
    """When a worker had the job, and the time it took. `*_ms` are wall milliseconds; `run_ms` is the run of the whole batch."""

    received_at: datetime
    started_at: datetime
    finished_at: datetime
    prepare_ms: float = 0.0
    run_ms: float = 0.0
    finish_ms: float = 0.0
    batch_size: int = 1


@dataclass(frozen=True, slots=True)
class ResultInfo:
    """A worker's result of one attempt, a candidate until the sink decides. `device_note`: why the device is not the first
    choice of `auto`; None if it is. `reused_from`: key (job:run) of the outcome whose output this result repeats; then `device`
    and `device_note` are those of that run. None: the job ran."""

    disposition: str
    worker_id: str
    device: str
    timings: Timings
    execution: int = 1
    sequence: int = 0
    request_coordinates: Coordinates | None = None
    error: ErrorInfo | None = None
    retry_in_ms: int | None = None
    model_version: str = ""
    model_sha256: str | None = None
    code_version: str = ""
    input_sha256: str = ""
    output_refs: list[Claim] = field(default_factory=list)
    device_note: str | None = None
    reused_from: str | None = None


@dataclass(frozen=True, slots=True)
class Request(Generic[I_]):
    header: JobHeader
    input: I_


@dataclass(frozen=True, slots=True)
class Result(Generic[O_]):
    header: JobHeader
    result: ResultInfo
    output: O_ | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a backend uploaded. `labels`: names and texts of the backend's; the router's rules can ask for them."""

    upload_id: str
    claim: Claim
    created_at: datetime
    filename: str = ""
    kind: str = ""
    tenant: str = "default"
    case_id: str | None = None
    source: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a running job. `percent`: 0 to 100, or null if the processor can't tell.

    With `text` it is a piece of the text that the job generates. Then `sequence` counts pieces, not updates; the piece with
    sequence 1 replaces all text of the run before it.
    """

    job_id: str
    run: int
    attempt: int
    execution: int
    sequence: int
    processor: str
    stage: str
    worker_id: str
    at: datetime
    percent: float | None = None
    message: str = ""
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """A command, or a worker's acknowledgement of one. `action`: cancel, pause or resume; paused or resumed for
    acknowledgements, where `by` is the worker. `job_id` and `run` are set for a cancel only."""

    action: str
    at: datetime
    by: str = ""
    job_id: str | None = None
    run: int = 0
    processor: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EchoInput:
    """`delay_ms`: how long to simulate work. `fail`: error code to fail with, to test a backend's error handling."""

    message: str
    delay_ms: int = 0
    fail: str | None = None


@dataclass(frozen=True, slots=True)
class EchoOutput:
    message: str
    length: int


@dataclass(frozen=True, slots=True)
class EmbedInput:
    """A handwritten digit: 64 grey values 0..16, an 8x8 image row by row (scikit-learn's digits format)."""

    pixels: list[float]


@dataclass(frozen=True, slots=True)
class EmbedOutput:
    """`vector`: the unit-length embedding, 32 floats; the cosine of two vectors is the similarity of their digits."""

    vector: list[float]


@dataclass(frozen=True, slots=True)
class SegmentationInput:
    """`volume`: a claim check on a NIfTI file (.nii, .nii.gz) or a zip of one DICOM series. `kind`: auto, nifti or dicom.
    `threshold`: lesion probability above which a voxel counts, 0..1."""

    volume: Claim
    kind: str = "auto"
    threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class SegmentationOutput:
    """`mask`: a NIfTI file, uint8, 1 = lesion, in the input's geometry. `slice_areas_mm2`: lesion area per slice along the
    third axis of the stored volume. Without a lesion the volume is 0 and the mask is empty."""

    mask: Claim
    lesion_volume_mm3: float
    lesion_count: int
    slice_areas_mm2: list[float]
    threshold: float
    voxel_mm3: float
    shape: list[int]


ECHO: ProcessorContract[EchoInput, EchoOutput] = ProcessorContract("echo", EchoInput, EchoOutput, light=True)
EMBED: ProcessorContract[EmbedInput, EmbedOutput] = ProcessorContract("embed", EmbedInput, EmbedOutput)
SEGMENTATION: ProcessorContract[SegmentationInput, SegmentationOutput] = ProcessorContract(
    "segmentation", SegmentationInput, SegmentationOutput
)
