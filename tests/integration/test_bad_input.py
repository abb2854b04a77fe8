"""Bad input of every kind on the real stack: each ends with a clear error, and the good jobs beside it are not affected."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench.receiver import Receiver
from schemas import headers
from schemas.avsc import request_schema
from schemas.codec import Encoder
from schemas.errors import UnknownProcessor
from schemas.ids import new_id
from schemas.plain import to_plain
from schemas.records import ECHO, Claim, EchoInput, JobHeader, Request, SegmentationInput
from streams import wiring
from streams.client.submitter import Submitter
from streams.log import kafka
from streams.settings import Settings
from tests.harness.services import Service, running
from tests.harness.topic_reader import read_topic
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

GOOD = 20
PATIENCE_S = 90.0


class Services:
    """A running worker for echo and segmentation, a sink, and raw access to the log beside them."""

    def __init__(self, settings: Settings, receiver: Receiver, submitter: Submitter) -> None:
        self.settings = settings
        self.receiver = receiver
        self.submitter = submitter
        self.producer = kafka.producer(settings)
        subject = f"{settings.topics.requests('echo')}-value"
        self.encoder: Encoder = wiring.codec(settings).encoder(subject, request_schema(ECHO))

    def raw(self, topic: str, value: bytes, kafka_headers: dict[str, str] | None = None) -> None:
        typed: dict[str, str | bytes | None] = dict(kafka_headers or {})
        self.producer.produce(topic, value, headers=typed)
        assert self.producer.flush(10) == 0

    def request(self, header: JobHeader, message: str = "hello") -> bytes:
        return self.encoder.encode(to_plain(Request(header, EchoInput(message))))

    def header(self, **changed: Any) -> JobHeader:
        fields = {"job_id": new_id(), "processor": "echo", "created_at": datetime.now(UTC), "input_sha256": ""}
        return JobHeader(**{**fields, "callback_url": self.receiver.url, **changed})

    def outcome(self, job_id: str) -> tuple[str, str | None, str | None]:
        """Wait for the job's outcome: status, error code, error message."""
        with psycopg.connect(self.settings.database, autocommit=True) as database:
            query = "SELECT status, error_code, error_message FROM outcomes WHERE job_id = %s"
            found = wait_until(
                lambda: database.execute(query, (job_id,)).fetchone(), lambda: f"{job_id} has no outcome", PATIENCE_S
            )
        return found[0], found[1], found[2]

    def reasons(self) -> dict[bytes, str]:
        """The reason of each dead letter, by its value."""
        return {value: kafka_headers[headers.DL_REASON] for value, kafka_headers in self.dead_letters()}

    def dead_letters(self) -> list[tuple[bytes, dict[str, str]]]:
        messages = read_topic(self.settings, self.settings.topics.dead_letters)
        return [
            (message.value(), {name: value.decode() for name, value in message.headers() or []}) for message in messages
        ]


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        submitter = stack.enter_context(Submitter(settings))
        stack.enter_context(running(settings, ["worker", "echo"], ["sink"]))
        yield Services(settings, receiver, submitter)


def test_bad_records_end_as_dead_letters_or_failed_outcomes_and_good_jobs_go_through(services: Services) -> None:
    topic = services.settings.topics.requests("echo")
    named = services.header()
    in_value, in_headers = services.header(), new_id()
    misspelt = services.header(processor="ehco")
    garbled = services.request(named)[:5] + b"garbage"  # a schema that the registry knows, and nothing that fits it
    good = []
    for number in range(GOOD):
        good.append(
            services.submitter.submit_nowait("echo", EchoInput(f"good {number}"), callback_url=services.receiver.url)
        )
        if number == GOOD // 2:
            services.submitter.flush()
            services.raw(topic, b"not avro at all")
            services.raw(topic, garbled, {headers.JOB: named.job_id, headers.RUN: "0", headers.ATTEMPT: "1"})
            services.raw(topic, struct.pack(">bI", 0, 2_000_000_000) + b"x")
            services.raw(topic, services.request(in_value), {headers.JOB: in_headers})
            services.raw(topic, services.request(misspelt))
    services.submitter.flush()

    assert services.outcome(named.job_id)[:2] == ("FAILED", "UNDECODABLE")
    assert services.outcome(in_value.job_id)[:2] == ("FAILED", "HEADER_MISMATCH")
    status, code, message = services.outcome(misspelt.job_id)
    assert (status, code) == ("FAILED", "UNKNOWN_PROCESSOR")
    assert "'echo'" in str(message)
    assert [services.outcome(job)[0] for job in good] == ["COMPLETED"] * GOOD
    # A record of an unknown schema waits for the registry, and names no job whose outcome could be awaited.
    wait_until(lambda: len(services.reasons()) == 4, lambda: f"dead letters: {services.reasons()}", PATIENCE_S)
    reasons = services.reasons()
    assert reasons[b"not avro at all"] == "UNDECODABLE"
    assert reasons[garbled] == "UNDECODABLE"
    assert reasons[struct.pack(">bI", 0, 2_000_000_000) + b"x"] == "UNKNOWN_SCHEMA"
    assert reasons[services.request(in_value)] == "HEADER_MISMATCH"
    # Each job whose request could be read is called back once: the good ones, the contradicted and the misspelt one.
    assert services.receiver.wait_for(GOOD + 2, PATIENCE_S)
    called_back = {callback.event()["data"]["job_id"] for callback in services.receiver.callbacks}
    assert called_back == {*good, in_value.job_id, misspelt.job_id}


def test_a_submit_for_an_unknown_processor_is_refused_with_the_nearest_name(services: Services) -> None:
    with pytest.raises(UnknownProcessor, match="Did you mean 'echo'"):
        services.submitter.submit("ecko", {"message": "x"})


def test_a_callback_that_fails_is_tried_again_until_it_is_delivered(settings: Settings) -> None:
    answers = iter([500, 503])
    with (
        Receiver(answer=lambda _: next(answers, 200)) as receiver,
        Submitter(settings) as submitter,
        running(settings, ["worker", "echo"], ["sink"]),
    ):
        job = submitter.submit("echo", EchoInput("x"), callback_url=receiver.url).job_id
        assert receiver.wait_for(1, PATIENCE_S)
        with psycopg.connect(settings.database, autocommit=True) as database:
            query = "SELECT state, tries FROM deliveries WHERE job_id = %s AND state <> 'pending'"
            row = wait_until(lambda: database.execute(query, (job,)).fetchone(), lambda: "not delivered", PATIENCE_S)
            assert row == ("delivered", 3)
            tries = database.execute(
                "SELECT status FROM delivery_tries JOIN deliveries USING (delivery_id) WHERE job_id = %s ORDER BY n",
                (job,),
            ).fetchall()
    assert tries == [(500,), (503,), (200,)]
    assert len({callback.delivery_id for callback in receiver.callbacks}) == 1


def with_a_nan(volume: Path, target: Path) -> Path:
    """A copy of a volume with one voxel that is no number."""
    import nibabel
    import numpy

    nifti: Any = nibabel
    image = nifti.load(volume)
    data = numpy.asarray(image.dataobj, dtype=numpy.float32).copy()
    data[10, 10, 10] = numpy.nan
    nifti.save(nifti.Nifti1Image(data, image.affine), target)
    return target


def test_a_broken_volume_or_claim_fails_its_own_job_only(settings: Settings, tmp_path: Path) -> None:
    from processors.segmentation.samples import make_samples

    objects = wiring.object_store(settings)
    sample = make_samples(tmp_path / "samples", 1, seed=4242)[0]
    with_nan = with_a_nan(sample.path, tmp_path / "nan.nii.gz")
    good = objects.put_file(sample.path, "application/gzip")
    other = hashlib.sha256(b"another file").hexdigest()
    claims = {
        "good": good,
        "nan": objects.put_file(with_nan, "application/gzip"),
        "altered": Claim(good.uri, other, good.size),
        "missing": Claim(good.uri.replace(good.sha256, other), other, good.size),
        "outside": Claim("file:///etc/passwd", other, 100),
    }
    with (
        Receiver() as receiver,
        Submitter(settings) as submitter,
        running(settings, ["worker", "segmentation", "--device", "cpu"], ["sink"]),
    ):
        services = Services(settings, receiver, submitter)
        jobs = {
            name: submitter.submit(
                "segmentation", SegmentationInput(claim), callback_url=receiver.url, max_attempts=1
            ).job_id
            for name, claim in claims.items()
        }
        ends = {name: services.outcome(job) for name, job in jobs.items()}
    assert ends["good"][0] == "COMPLETED"
    assert ends["nan"][:2] == ("FAILED", "INVALID_INPUT")
    assert "NaN" in str(ends["nan"][2])
    assert ends["altered"][:2] == ("FAILED", "CLAIM_MISMATCH")
    assert ends["missing"][0] == "FAILED"
    assert ends["outside"][:2] == ("FAILED", "INVALID_INPUT")


def test_a_worker_with_altered_weights_stops_at_once_and_names_the_reason(settings: Settings, tmp_path: Path) -> None:
    import processors.embed

    folder = tmp_path / "weights"
    folder.mkdir()
    for weights in (Path(processors.embed.__file__).parent / "weights").iterdir():
        (folder / weights.name).write_bytes(weights.read_bytes()[:-1] + b"!")
    service = Service(settings.model_copy(update={"weights_dir": folder}), ["worker", "embed"])
    assert service.ended() == 1
    said = service.log.read_text()
    assert "'embed'" in said
    assert "sha256" in said


#: Schemas of another team's, with our names and other types.
FOREIGN = [
    {"job_id": "int"},
    {"job_id": "string", "run": "string"},
    {"job_id": "string", "run": "long"},
    {"job_id": "string", "attempt": "double", "created_at": "string"},
]
SAMPLE = {"int": 7, "string": "01a1fc67-27fe-71db-adf2-c5b0cd56b3a3", "long": 2**40, "double": 0.5}


def foreign_record(settings: Settings, number: int, fields: dict[str, str]) -> bytes:
    """A framed record of a header with these fields, registered as a schema of its own."""
    header = {"type": "record", "name": "H", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}
    schema = {"type": "record", "name": "Foreign", "fields": [{"name": "header", "type": header}]}
    encoder = wiring.codec(settings).encoder(
        f"{settings.topic_prefix}foreign-{number}", json.dumps(schema), register=True
    )
    return encoder.encode({"header": {name: SAMPLE[kind] for name, kind in fields.items()}})


def test_records_of_a_foreign_schema_stop_no_service(services: Services) -> None:
    names = services.settings.topics
    for number, fields in enumerate(FOREIGN):
        value = foreign_record(services.settings, number, fields)
        for topic in (names.dead_letters, names.requests("echo"), names.results("echo"), names.progress):
            services.raw(topic, value)
    good = [services.submitter.submit("echo", EchoInput(f"good {number}")).job_id for number in range(GOOD)]
    assert [services.outcome(job)[0] for job in good] == ["COMPLETED"] * GOOD
