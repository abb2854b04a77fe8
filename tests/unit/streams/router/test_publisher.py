"""Jobs, parts and dead letters on the log in memory: confirmed, once for each id; a refusal is no outage."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.errors import InvalidInput, SluiceError, Unreachable
from schemas.headers import DL_OFFSET, DL_REASON, DL_TOPIC, JOB
from streams import wiring
from streams.admin import topics
from streams.client.submitter import Submitter
from streams.router.joins import CaseKey, Part, Piece
from streams.router.publisher import Kept, ReadRecord, RoutedPublisher
from streams.router.routing import RoutedJob, Routing
from streams.settings import Settings
from tests.harness.topic_reader import read_topic
from tests.unit.streams.router.kit import RULES, result, rules, upload


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation on the twins, with the router's topics."""
    (tmp_path / "rules.toml").write_text(RULES)
    name = f"memory:{uuid.uuid4().hex}"
    made = Settings(
        kafka_bootstrap_servers=name,
        schema_registry_url=name,
        database_url=SecretStr(name),
        home=tmp_path,
        partitions=2,
        router_rules=tmp_path / "rules.toml",
    )
    topics.apply(made, wiring.contracts(made))
    return made


def jobs() -> list[RoutedJob]:
    return [job for job in Routing(rules()).jobs_of_upload(upload()) if isinstance(job, RoutedJob)]


def records(settings: Settings, topic: str) -> list[Any]:
    return read_topic(settings, topic)


def job_of(record: Any) -> object:
    return dict(record.headers())[JOB]


def test_no_key_of_a_user_takes_the_place_of_a_routed_job(settings: Settings) -> None:
    publisher = RoutedPublisher(settings, "router@test")
    routed = jobs()[0]
    assert publisher.submit([routed]) == [None]
    publisher.close()
    with Submitter(settings) as submitter:
        users = submitter.submit(routed.processor, routed.input, **routed.options)
    ids = {job_of(record) for record in records(settings, users.topic)}
    assert len(ids) == 2
    assert users.job_id.encode() in ids


def test_submitting_twice_makes_the_same_jobs(settings: Settings) -> None:
    publisher = RoutedPublisher(settings, "router@test")
    assert publisher.submit(jobs()) == [None, None]
    assert publisher.submit(jobs()) == [None, None]
    publisher.close()
    first, second = records(settings, "requests.echo")
    assert job_of(first) == job_of(second)
    header = wiring.codec(settings).decode(first.value())["header"]
    assert (header["case_id"], header["upload_id"], header["labels"]) == ("c1", "u1", {"sluice.rule": "volumes"})
    assert len(records(settings, "requests.segmentation")) == 2


def test_a_job_whose_input_or_option_does_not_fit_is_refused_and_the_others_are_submitted(settings: Settings) -> None:
    good = jobs()[1]
    bad_input = RoutedJob("r", "echo", {"message": None}, {"tenant": "t"})
    bad_option = RoutedJob("r", "echo", {"message": "x"}, {"external_id": "x" * 300})
    too_large = RoutedJob("r", "echo", {"message": "x" * 300_000}, {})
    publisher = RoutedPublisher(settings, "router@test")
    answers = publisher.submit([bad_input, good, bad_option, too_large])
    publisher.close()
    assert [None if answer is None else answer.code for answer in answers] == [
        "INVALID_INPUT",
        None,
        "USAGE",
        "PAYLOAD_TOO_LARGE",
    ]
    assert len(records(settings, "requests.echo")) == 1


def test_a_bug_in_one_job_is_its_refusal(settings: Settings) -> None:
    options: Any = {"deadline": "soon"}
    broken = RoutedJob("r", "echo", {"message": "x"}, options)
    publisher = RoutedPublisher(settings, "router@test")
    (answer,) = publisher.submit([broken])
    publisher.close()
    assert isinstance(answer, SluiceError)


def test_schemas_that_are_not_registered_yet_are_waited_for(tmp_path: Path) -> None:
    name = f"memory:{uuid.uuid4().hex}"
    bare = Settings(kafka_bootstrap_servers=name, schema_registry_url=name, database_url=SecretStr(name), home=tmp_path)
    publisher = RoutedPublisher(bare, "router@test")
    with pytest.raises(Unreachable, match="does not have this version's schema"):
        publisher.submit(jobs())
    publisher.close()


def test_all_parts_of_a_case_are_in_one_partition_and_state_is_where_it_is_said(settings: Settings) -> None:
    routing = Routing(rules())
    publisher = RoutedPublisher(settings, "router@test")
    pieces = [piece for name in ("echo", "embed") for piece in routing.pieces_of_outcome(result(name))]
    publisher.publish(pieces, [])
    publisher.keep([Kept(b"key", b"value", 1), Kept(b"key", None, 1)])
    publisher.close()
    written = records(settings, "join-parts")
    assert len({record.partition() for record in written}) == 1
    assert {Piece.decode(record.value()).source for record in written} == {"a", "b"}
    assert [(r.partition(), r.key(), r.value()) for r in records(settings, "join-state")] == [
        (1, b"key", b"value"),
        (1, b"key", None),
    ]


def test_a_dead_letter_has_the_original_bytes_and_the_reason(settings: Settings) -> None:
    read = ReadRecord("uploads", 1, 7, b"key", b"junk", (("x", b"y"),))
    publisher = RoutedPublisher(settings, "router@test")
    publisher.publish([], [(read, InvalidInput("It does not fit."))])
    publisher.close()
    (letter,) = records(settings, "dead-letters")
    assert (letter.key(), letter.value()) == (b"key", b"junk")
    headers = dict(letter.headers())
    assert headers["x"] == b"y"
    assert (headers[DL_REASON], headers[DL_TOPIC], headers[DL_OFFSET]) == (b"INVALID_INPUT", b"uploads", b"7")


def test_a_part_without_values_can_be_published(settings: Settings) -> None:
    piece = Piece(CaseKey("t", "c", "both"), "a", Part("x:0", ("2026", "x", 0), {}))
    publisher = RoutedPublisher(settings, "router@test")
    publisher.publish([piece], [])
    publisher.close()
    assert [Piece.decode(record.value()) for record in records(settings, "join-parts")] == [piece]
