"""Metadata of a commit: it is decoded as it was encoded, fits, and never claims too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.kafka_source.offset_metadata import HARD_LIMIT, CommitMetadata, decode, encode
from streams.worker.kafka_source.offsets import OffsetSpan, OffsetTracker, Snapshot

TOPIC = "kYJ3hXyNT1y0b6c3a1mN2w"


@st.composite
def snapshots(draw: st.DrawFn, most_spans: int = 12, longest: int = 3000) -> Snapshot:
    """Generate snapshots as a tracker makes them: the first span begins at the position, and no two alike touch."""
    position = draw(st.integers(0, 2**48))
    spans: list[OffsetSpan] = []
    at = position
    for _ in range(draw(st.integers(0, most_spans))):
        start = at if not spans else at + draw(st.integers(0, longest))
        at = start + draw(st.integers(1, longest))
        spans.append(OffsetSpan(start, at, draw(st.integers(0, 12)), draw(st.booleans())))
    return Snapshot(position, at + draw(st.integers(0, longest)) if spans else position, tuple(spans))


def offsets(spans: tuple[OffsetSpan, ...]) -> set[int]:
    return {offset for span in spans for offset in range(span.start, span.stop)}


def states(spans: tuple[OffsetSpan, ...]) -> dict[int, tuple[int, bool]]:
    return {offset: (span.crashes, span.in_flight) for span in spans for offset in range(span.start, span.stop)}


@given(snapshots(longest=40), st.booleans())
def test_metadata_is_decoded_as_it_was_encoded(snapshot: Snapshot, is_open: bool) -> None:
    text = encode(snapshot, TOPIC, is_open=is_open)
    metadata = decode(snapshot.position, text, TOPIC)
    assert metadata is not None
    assert metadata.open == is_open
    assert (metadata.snapshot.position, metadata.snapshot.end) == (snapshot.position, snapshot.end)
    assert states(metadata.snapshot.spans) == states(snapshot.spans)


@given(snapshots())
def test_metadata_is_ascii_and_fits(snapshot: Snapshot) -> None:
    assert len(encode(snapshot, TOPIC, is_open=True).encode("ascii")) <= HARD_LIMIT


def scattered(jobs: int) -> Snapshot:
    """Every thirtieth offset is unfinished: two letters and more for each."""
    tracker = OffsetTracker()
    for offset in range(jobs * 30):
        tracker.handed_out(offset)
        if offset % 30:
            tracker.done(offset)
    made = tracker.snapshot()
    assert made is not None
    return made


def test_work_that_does_not_fit_is_repeated_and_never_skipped() -> None:
    snapshot = scattered(3000)
    text = encode(snapshot, TOPIC, is_open=True)
    assert HARD_LIMIT - 40 < len(text) <= HARD_LIMIT
    metadata = decode(snapshot.position, text, TOPIC)
    assert metadata is not None
    decoded = metadata.snapshot
    assert decoded.end == snapshot.end
    assert offsets(snapshot.spans) < offsets(decoded.spans)
    assert len(decoded.spans) > 1000, "spans that fit are kept as they are"


@pytest.mark.parametrize("in_flight", [True, False])
def test_spans_that_do_not_fit_get_no_crash_that_they_did_not_have(in_flight: bool) -> None:
    snapshot = scattered(3000)
    *others, last = snapshot.spans
    mixed = (*(span._replace(crashes=2) for span in others), last._replace(crashes=1, in_flight=in_flight))
    metadata = decode(0, encode(snapshot._replace(spans=mixed), TOPIC, is_open=True), TOPIC)
    assert metadata is not None
    assert (metadata.snapshot.spans[-1].crashes, metadata.snapshot.spans[-1].in_flight) == (1, in_flight)
    assert metadata.snapshot.spans[0].crashes == 2


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "moved by hand, 3 March",
        "AgAAAAAAAAA=",
        f"sluice/1 open {TOPIC}",
        f"sluice/1 half {TOPIC} bb",
        f"sluice/1 open {TOPIC} b-b",
        f"sluice/1 open {TOPIC} B",
        f"sluice/1 open {TOPIC} bb\n",
        f"sluice/2 open {TOPIC} bb",
        "sluice/1 open AnotherTopicOfThisName bb",
    ],
)
def test_metadata_of_another_program_is_ignored(text: str | None) -> None:
    assert decode(7, text, TOPIC) is None


@given(st.text(max_size=60))
def test_any_text_can_be_decoded(text: str) -> None:
    for whole in (text, f"sluice/1 open {TOPIC} {text}"):
        metadata = decode(7, whole, TOPIC)
        assert metadata is None or metadata.snapshot.position == 7 <= metadata.snapshot.end


def test_an_unclean_stop_counts_only_for_offsets_in_flight() -> None:
    spans = (OffsetSpan(5, 7, 0, True), OffsetSpan(8, 9, 1, False), OffsetSpan(10, 12, 1, True))
    assert CommitMetadata(Snapshot(5, 12, spans), True).for_next_owner().spans == (
        OffsetSpan(5, 7, 1),
        OffsetSpan(8, 9, 1),
        OffsetSpan(10, 12, 2),
    )


def test_a_released_partition_counts_no_crash() -> None:
    assert CommitMetadata(Snapshot(5, 7, (OffsetSpan(5, 7, 1, True),)), False).for_next_owner().spans == (
        OffsetSpan(5, 7, 1),
    )
