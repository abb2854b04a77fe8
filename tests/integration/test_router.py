"""The router on the real stack, as a process: one upload fans out to two processors, and their join starts a third, once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from schemas.records import Claim, Upload
from streams import wiring
from streams.admin import topics
from streams.client.commands import CommandClient
from streams.client.uploads import accept, new_upload, upload_codec
from streams.log import kafka
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.router_process import PATIENCE_S, RouterProcess
from tests.harness.services import running
from tests.harness.topic_reader import read_topic
from tests.harness.volumes import ball, write_nifti
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

RULES = """
[[upload]]
name = "volumes"
kind = "mr-volume"
filename = "*.nii.gz"
[[upload.submit]]
processor = "segmentation"
input = { volume = "$upload.claim", threshold = 0.7 }
[[upload.submit]]
processor = "echo"
input = { message = "$upload.filename" }

[[join]]
name = "report"
of.seg.processor = "segmentation"
of.note.processor = "echo"
[[join.submit]]
name = "third"
processor = "echo"
lane = "bulk"
input = { message = "$seg.output.mask.sha256" }
"""
#: Where the joined jobs are asked for.
THIRD = "requests.echo.bulk"


@pytest.fixture
def routed(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Yield settings with rules; the sink and the workers run."""
    (tmp_path / "rules.toml").write_text(RULES)
    made = settings.model_copy(update={"router_rules": tmp_path / "rules.toml"})
    topics.apply(made, wiring.contracts(made))
    assert topics.apply(made, wiring.contracts(made)) == []
    with (
        running(made, ["worker", "segmentation", "--device", "cpu"], ["worker", "echo"]),
        in_thread(Sink(made, notify=False).run),
    ):
        yield made


def test_an_upload_fans_out_and_its_join_starts_a_third_job_once_whatever_happens_to_the_router(
    routed: Settings, tmp_path: Path
) -> None:
    router, volume = RouterProcess(routed), write_nifti(tmp_path / "scan.nii.gz", ball())
    with CommandClient(routed) as commands:
        commands.pause("segmentation")
        abort_upload(routed)
        made = [upload(routed, volume, "killed")]
        router.wait_for(joins_waiting=1)
        router.kill()
        commands.resume("segmentation")
        wait_until(lambda: jobs_of(routed, "outcomes.segmentation"), lambda: "no segmentation", PATIENCE_S)
        router.restart()
        wait_until(lambda: jobs_of(routed, THIRD), lambda: f"{router.status()}", PATIENCE_S)

        commands.pause("segmentation")
        made.append(upload(routed, volume, "without state"))
        router.wait_for(joins_waiting=1)
        assert router.stop() == 0
        shutil.rmtree(routed.home / "router")
        shutil.rmtree(routed.home / "run" / "router")
        router.restart()
        router.wait_for(joins_waiting=1)
        commands.resume("segmentation")
        router.wait_for(joins=1)

    write_again(routed, "uploads", "outcomes.segmentation")
    made.append(upload(routed, volume, "last"))
    wait_until(lambda: len(jobs_of(routed, THIRD)) == 3, lambda: f"{router.status()}", PATIENCE_S)
    assert router.stop() == 0

    assert {job["header"]["case_id"] for job in jobs_of(routed, THIRD)} == {each.case_id for each in made}
    assert len(records(routed, THIRD)) == 3
    for fanned_out in ("requests.segmentation", "requests.echo"):
        ids = [job["header"]["upload_id"] for job in jobs_of(routed, fanned_out)]
        assert sorted(ids) == sorted(each.upload_id for each in made)
    assert records(routed, "dead-letters") == []


def upload(settings: Settings, volume: Path, case: str) -> Upload:
    claim = wiring.object_store(settings).put_file(volume, "application/x-nifti")
    return accept(settings, claim, filename="scan.nii.gz", kind="mr-volume", case_id=case)


def write_again(settings: Settings, *topics: str) -> None:
    """Publish all records of these topics once more, as the sink and the timekeeper may after a crash."""
    producer = kafka.producer(settings)
    for record in [record for topic in topics for record in records(settings, topic)]:
        if b"aborted" not in record.value():
            producer.produce(record.topic(), record.value(), record.key())
    assert producer.flush(10) == 0


def abort_upload(settings: Settings) -> None:
    """Write an upload in a transaction that is aborted."""
    codec, topic = wiring.codec(settings), settings.topics.uploads
    claim = Claim("file:///aborted", "ab" * 32, 1)
    aborted = new_upload(claim, filename="aborted.nii.gz", kind="mr-volume", case_id="aborted")
    producer = Producer({"bootstrap.servers": settings.bootstrap, "transactional.id": settings.topic_prefix})
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in range(settings.partitions):
        producer.produce(topic, upload_codec(codec, settings).encode(aborted), partition=partition)
    producer.flush(10)
    producer.abort_transaction(10)


def records(settings: Settings, topic: str) -> list[Any]:
    return read_topic(settings, settings.topic_prefix + topic)


def jobs_of(settings: Settings, topic: str) -> list[dict[str, Any]]:
    """Return one record of each job in a topic."""
    codec = wiring.codec(settings)
    found = [codec.decode(record.value()) for record in records(settings, topic)]
    return list({job["header"]["job_id"]: job for job in found}.values())
