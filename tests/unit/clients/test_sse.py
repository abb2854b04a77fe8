"""The parser of event streams: any chunking of the same bytes gives the same messages."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_client.errors import UnexpectedAnswer
from sluice_client.sse import Message, SseParser

STREAM = b"\xef\xbb\xbf: heartbeat\r\nid: 7\r\nevent: state\r\ndata: {\rdata: }\n\nretry: 250\n\ndata:\xc3\xbc\n\ndata: cut off"


def parsed(*chunks: bytes, last_id: str = "") -> list[Message]:
    parser = SseParser(last_id)
    return [message for chunk in chunks for message in parser.feed(chunk)]


def test_a_stream_of_every_line_ending_is_read() -> None:
    assert parsed(STREAM) == [Message("7", "state", "{\n}"), Message("7", "message", "ü")]


def test_an_event_that_was_cut_off_does_not_move_the_place_to_resume() -> None:
    parser = SseParser("3")
    parser.feed(b"id: 4\ndata: whole\n\nid: 5\ndata: ha")
    assert parser.last_id == "4"
    parser.begin()
    assert parser.feed(b"data: next\n\n") == [Message("4", "message", "next")]


def test_an_id_without_data_moves_the_place_and_hands_out_nothing() -> None:
    parser = SseParser()
    assert parser.feed(b"id: 9\n\n") == []
    assert parser.last_id == "9"


def test_an_id_with_a_nul_and_a_retry_that_is_no_number_are_ignored() -> None:
    parser = SseParser("1")
    assert parser.feed(b"id: 2\x00\nretry: soon\ndata: x\n\n") == [Message("1", "message", "x")]
    assert parser.retry_s is None


def test_the_servers_wish_for_the_reconnection_is_read() -> None:
    parser = SseParser()
    parser.feed(b"retry: 1500\n\n")
    assert parser.retry_s == 1.5


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 200, b"data: 1234567890\n" * 20])
def test_an_event_beyond_the_limit_is_refused(endless: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        SseParser(most_bytes=100).feed(endless)


FIELDS = st.sampled_from(["data", "event", "id", "retry", "", "other"])
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)
LINES = st.one_of(st.just(""), st.builds("{}:{}".format, FIELDS, VALUES), st.builds("{}: {}".format, FIELDS, VALUES))
ENDS = st.sampled_from(["\n", "\r", "\r\n"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=30).map(lambda lines: "".join(a + b for a, b in lines).encode())


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_chunking_gives_the_same_messages(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(places)]
    assert b"".join(chunks) == stream
    assert parsed(*chunks) == parsed(stream) == parsed(*(stream[n : n + 1] for n in range(len(stream))))


@given(cut=st.integers(0, 500))
def test_a_connection_that_breaks_anywhere_loses_and_repeats_nothing(cut: int) -> None:
    """The server sends again every event after the last id; ids are the numbers of the events."""
    events = [f"id: {number}\ndata: {number}\n\n".encode() for number in range(20)]
    whole = b"".join(events)
    parser = SseParser()
    got = parser.feed(whole[:cut])
    parser.begin()
    after = int(parser.last_id) + 1 if parser.last_id else 0
    got += parser.feed(b"".join(events[after:]))
    assert [message.data for message in got] == [str(number) for number in range(20)]
