"""The join of deploy/rules/brain_tumour.toml on the real stack: the router as a process, on uploads and outcomes in Kafka."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.avsc import result_schema
from schemas.contract import contract
from schemas.plain import to_plain
from schemas.records import Claim
from streams import wiring
from streams.admin import topics
from streams.client.uploads import UploadPublisher, new_upload
from streams.log import kafka
from streams.settings import Settings
from tests.harness.brain_tumour_join import ORDER, RULES, outcome
from tests.harness.router_process import RouterProcess
from tests.harness.topic_reader import read_topic
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.stack

CASES = ("eligible", "ready", "other role", "not confirmed")


@pytest.fixture
def router(settings: Settings) -> Iterator[RouterProcess]:
    """Yield a router with the file of rules, in an installation that serves the three processors."""
    served = {"processors": ("mri", "gene-expression", "multimodal"), "router_rules": RULES}
    made = settings.model_copy(update=served)
    topics.apply(made, wiring.contracts(made))
    router = RouterProcess(made)
    yield router
    router.kill()


def test_patients_with_both_results_and_an_eligible_order_start_one_job_each(router: RouterProcess) -> None:
    joining = router.settings
    complete(joining, "mri", "gene-expression")
    claim = Claim("file:///table.csv", "ab" * 32, 9, "text/csv")
    changes: tuple[dict[str, str], ...] = (
        {},
        {"ocs_status": "RESULT_READY"},
        {"job_role": "RIS"},
        {"ocs_status": "ORDERED"},
    )
    orders = [
        new_upload(claim, kind="biomarker", case_id=case, labels=ORDER | change)
        for case, change in zip(CASES, changes, strict=True)
    ]
    orders.append(new_upload(claim, kind="biomarker", case_id="a patient without results", labels=ORDER))
    UploadPublisher(joining).publish(orders)
    router.wait_for(uploads=5, outcomes=8, joins=2)

    topic = joining.topics.requests("multimodal")
    wait_until(lambda: len(read_topic(joining, topic)) == 2, lambda: f"{router.status()}")
    jobs = [wiring.codec(joining).decode(record.value()) for record in read_topic(joining, topic)]
    assert {job["header"]["case_id"] for job in jobs} == {"eligible", "ready"}
    assert {job["input"]["gene_probability"] for job in jobs} == {0.7}
    assert router.stop() == 0
    assert read_topic(joining, joining.topics.dead_letters) == []


def complete(settings: Settings, *processors: str) -> None:
    """Publish an outcome of each processor for each case, as the sink does."""
    codec, producer = wiring.codec(settings), kafka.producer(settings)
    for number, name in enumerate(processors):
        topic = settings.topics.outcomes(name)
        encoder = codec.encoder(f"{topic}-value", result_schema(contract(name)), register=True)
        for place, case in enumerate(CASES):
            made = outcome(name, 10 * number + place, case_id=case)
            producer.produce(topic, encoder.encode(to_plain(made)), f"{made.header.job_id}:0".encode())
    assert producer.flush(10) == 0
