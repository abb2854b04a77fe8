"""Ids, topic names, processor names, headers and errors."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import errors, headers
from schemas.contract import ProcessorContract, contract, known_processors
from schemas.errors import ErrorCode, SluiceError, UnknownProcessor
from schemas.ids import derived_id, is_job_id, new_id
from schemas.records import EchoInput, EchoOutput, JobHeader
from schemas.states import State
from schemas.topics import TopicNames, declared

PROCESSOR = st.from_regex(r"^[a-z][a-z0-9-]{0,47}$", fullmatch=True).filter(lambda name: name != "bulk")


def test_new_ids_sort_by_creation_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert all(is_job_id(made) for made in ids)


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_the_same_key_gives_the_same_job_and_another_key_another(
    a: tuple[str, str, str], b: tuple[str, str, str]
) -> None:
    if any("\0" in part for part in a + b):
        return
    assert (derived_id(*a) == derived_id(*b)) == (a == b)


@given(PROCESSOR, st.sampled_from(["", "team."]), st.sampled_from(["live", "bulk"]))
def test_the_processor_of_a_topic_is_found(name: str, prefix: str, lane: str) -> None:
    names = TopicNames(prefix)
    assert names.processor_of(names.requests(name, lane)) == name
    assert names.processor_of(names.results(name)) == name
    assert names.processor_of(names.outcomes(name)) == name
    assert names.processor_of(names.progress) is None


@pytest.mark.parametrize("name", ["", "Echo", "gene_expression", "a.b", "bulk", "x" * 49, "1a", "echo\n"])
def test_an_invalid_or_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no processor name"):
        ProcessorContract(name, EchoInput, EchoOutput)


def test_an_unknown_processor_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownProcessor, match="Did you mean 'segmentation'"):
        contract("segmentaton")


def test_every_processor_gets_two_lanes_results_and_compacted_outcomes() -> None:
    topics = {topic.name: topic for topic in declared([contract(name) for name in known_processors()], TopicNames(), 6)}
    assert {"requests.echo", "requests.echo.bulk", "results.echo", "outcomes.echo"} <= topics.keys()
    assert topics["requests.echo"].partitions == topics["requests.echo.bulk"].partitions == 6
    assert topics["outcomes.echo"].config()["cleanup.policy"] == "compact,delete"
    assert topics["dead-letters"].schema is None


def test_equal_headers_do_not_contradict() -> None:
    header = JobHeader(new_id(), "echo", datetime.now(UTC), "", deadline=datetime.now(UTC))
    present = dict(headers.request_headers(header, source="test", claims=["file:///a"]))
    assert headers.contradictions(present, header) == []
    assert headers.contradictions({}, header) == []
    assert headers.contradictions(present | {headers.JOB: b"other"}, header) == [headers.JOB]


def test_a_request_that_is_not_live_says_so_in_its_headers() -> None:
    header = JobHeader(new_id(), "echo", datetime.now(UTC), "", mode="shadow")
    present = dict(headers.request_headers(header, source="test"))
    assert headers.mode_of(present[headers.MODE]) == "shadow"
    live = dict(headers.request_headers(replace(header, mode="live"), source="test"))
    assert headers.MODE not in live
    assert headers.mode_of(None) == headers.mode_of(b"unheard of") == "live"


def test_a_dead_letters_headers_keep_their_names_and_values() -> None:
    made = headers.dead_letter_headers(
        reason="WORKER_LOST",
        message="half \ud800",
        topic="requests.echo",
        partition=3,
        offset=7,
        attempts=2,
        worker="w-1",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made.pop("sluice-dl-at").decode())
    assert made == {
        "sluice-dl-reason": b"WORKER_LOST",
        "sluice-dl-message": b"half ?",
        "sluice-dl-topic": b"requests.echo",
        "sluice-dl-partition": b"3",
        "sluice-dl-offset": b"7",
        "sluice-dl-attempts": b"2",
        "sluice-dl-worker": b"w-1",
    }


def every_error() -> list[type[SluiceError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, SluiceError)]
    assert len(found) > 15
    return found


@pytest.mark.parametrize("cls", every_error(), ids=lambda cls: cls.__name__)
def test_an_error_is_drawn_in_the_tree_and_can_be_pickled(cls: type[SluiceError]) -> None:
    assert errors.__doc__ is not None
    assert cls.__name__ in errors.__doc__
    again = pickle.loads(pickle.dumps(cls("what", next_step="do")))
    assert (type(again), again.message, again.next_step) == (cls, "what", "do")


def test_values_of_a_newer_version_are_read_as_unknown() -> None:
    assert ErrorCode("INVENTED_LATER") is ErrorCode.UNKNOWN
    assert State("INVENTED_LATER") is State.UNKNOWN
