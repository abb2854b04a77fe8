"""Frames are read as they were written, and a torn frame is not read."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from schemas.headers import JOB, PROCESSOR
from streams.worker import protocol
from streams.worker.protocol import DISPOSITIONS, HEADERS, LONGEST_HEADER, Answer, JobFrame, MessageKind

u16, u32, u63, i31 = (
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**31 - 1),
)
headers = st.dictionaries(st.sampled_from(HEADERS), st.binary(max_size=60))
jobs = st.builds(
    JobFrame,
    slot=u32,
    execution=u16,
    flags=st.integers(0, 7),
    lane=st.integers(0, 1),
    partition=u16,
    offset=u63,
    received_us=u63,
    timestamp_ms=st.integers(-1, 2**63 - 1),
    error_code=st.binary(max_size=20),
    headers=headers,
    value=st.binary(max_size=200),
    attempt=i31,
)
text = st.text(max_size=40)
answers = st.builds(
    Answer,
    slot=u32,
    execution=u16,
    disposition=st.sampled_from(DISPOSITIONS),
    job_id=text,
    run=i31,
    attempt=i31,
    value=st.binary(max_size=200),
    processor=text,
    dead_reason=text,
    dead_message=text,
    retry_in_ms=st.integers(-1, 2**31 - 1),
    failure=text,
)


@given(st.lists(jobs, max_size=5))
def test_jobs_arrive_as_they_were_sent(sent: list[JobFrame]) -> None:
    assert list(protocol.unpack_jobs(b"".join(map(protocol.pack_job, sent)))) == sent


@given(st.lists(answers, max_size=5))
def test_answers_arrive_as_they_were_sent(sent: list[Answer]) -> None:
    assert list(protocol.unpack_answers(b"".join(map(protocol.pack_answer, sent)))) == sent


@given(st.lists(u32, max_size=9), st.none() | st.integers(0, 2**40))
def test_slots_that_start_arrive_with_their_limit(slots: list[int], hard_ms: int | None) -> None:
    assert protocol.unpack_started(protocol.pack_started(slots, hard_ms)) == (tuple(slots), hard_ms)
    assert protocol.unpack_slots(protocol.pack_slots(slots)) == tuple(slots)


@given(st.binary(max_size=50), st.data())
def test_a_frame_that_is_torn_by_a_death_is_not_read(body: bytes, data: st.DataObject) -> None:
    whole = protocol.write_frame(MessageKind.ANSWERS, [body])
    assert protocol.read_frame(io.BytesIO(whole)) == (MessageKind.ANSWERS, body)
    torn = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert protocol.read_frame(io.BytesIO(torn)) is None


def test_our_headers_are_passed_on_whatever_their_length_and_no_others() -> None:
    sent = {JOB: b"j" * 100_000, PROCESSOR: b"", "not-ours": b"x"}
    job = JobFrame(1, 1, 0, 0, 0, 0, 0, 0, b"", sent, b"value")
    (arrived,) = protocol.unpack_jobs(protocol.pack_job(job))
    assert arrived.headers == {JOB: b"j" * LONGEST_HEADER, PROCESSOR: b""}
    assert arrived.value == b"value"
