"""Records are found by place, time, header, key, job and expression; any record can be shown; a scan says if it is complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.codec import Codec
from schemas.errors import NotFound, Unreachable, UsageError
from schemas.records import EchoInput
from schemas.registry import MemoryRegistry
from streams.admin import tail
from streams.admin.log_range import Span
from streams.admin.record_filter import RecordFilter
from streams.admin.records import LogRecord, record_json
from streams.admin.tail import TopicReader
from streams.client.submitter import Submitter
from streams.settings import Settings
from tests.unit.streams.admin.records_kit import TOPIC, at, stored, write

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def found(settings: Settings, span: Span = tail.EVERYTHING, topic: str = TOPIC, **wanted: Any) -> list[LogRecord]:
    with TopicReader(settings, topic, RecordFilter(**wanted), span) as reader:
        return list(reader.everything())


def submitted(settings: Settings, *messages: str, **options: Any) -> list[str]:
    with Submitter(settings) as submitter:
        return [submitter.submit("echo", EchoInput(message), **options).job_id for message in messages]


def count_decodes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that grows with each decoded value."""
    decoded = []
    decode = Codec.decode

    def count(self: Codec, data: bytes, reader: Any = None) -> dict[str, Any]:
        decoded.append(data)
        return decode(self, data, reader)

    monkeypatch.setattr(Codec, "decode", count)
    return decoded


# ── every record is shown ──


@pytest.mark.parametrize(
    ("value", "form", "reason"),
    [
        (None, "tombstone", None),
        (b"", "bytes", "Confluent frame"),
        (b"not avro", "bytes", "Confluent frame"),
        (b"\x00\x00\x00\xff\xffbody", "bytes", "65535"),
        (b'{"from": "another program"}', "json", None),
        (b"{no json", "bytes", "Confluent frame"),
        (b"[" * 100_000, "bytes", "Confluent frame"),
    ],
)
def test_a_record_that_is_no_avro_is_shown_with_the_reason(
    settings: Settings, value: bytes | None, form: str, reason: str | None
) -> None:
    write(settings, {"value": value, "key": b"\xff"}, {"value": value, "headers": [("h", b"\xfe"), ("none", None)]})
    first, second = found(settings)
    assert (first.format, first.key, second.headers) == (form, "\\xff", {"h": "\\xfe", "none": ""})
    assert (reason or "") in (first.undecodable or "")
    if form == "bytes":
        assert record_json(first)["value"] == (value or b"").hex()


def test_a_registry_that_is_away_is_asked_once_and_the_records_are_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(settings, "a", "b", "c")
    asked = []

    def away(self: MemoryRegistry, schema_id: int) -> str:
        asked.append(schema_id)
        raise Unreachable("The registry does not answer.")

    monkeypatch.setattr(MemoryRegistry, "schema_by_id", away)
    records = found(settings)
    assert [record.undecodable for record in records] == ["The registry does not answer."] * 3
    assert len(asked) == 1


def test_a_compacted_topic_and_one_that_ends_with_a_gap_are_read_to_the_end(settings: Settings) -> None:
    write(settings, *({"key": b"k", "value": b"%d" % n} for n in range(30)), {"key": b"gone", "value": None})
    stored(settings).compact()
    assert [record.offset for record in found(settings)] == [29]
    assert [record.offset for record in tail.last(settings, TOPIC, 1)] == [29]


# ── where ──


def test_offsets_of_one_partition_are_read_with_both_ends(settings: Settings) -> None:
    write(settings, *({"value": b"%d" % n} for n in range(10)))
    assert [r.offset for r in found(settings, Span(partition=0, first=3, last=5))] == [3, 4, 5]
    assert [r.offset for r in found(settings, Span(partition=0, first=8))] == [8, 9]
    assert [r.offset for r in found(settings, Span(partition=0, last=1))] == [0, 1]
    assert found(settings, Span(partition=1)) == []
    with pytest.raises(NotFound, match="no partition 9"):
        found(settings, Span(partition=9))
    with pytest.raises(UsageError, match="one partition"):
        found(settings, Span(first=3))


def test_a_time_is_exact_although_records_are_out_of_order(settings: Settings) -> None:
    minutes = [0, 10, 30, 20, 29.9, 40]
    write(settings, *({"value": b"x", "timestamp": at(DAY + timedelta(minutes=m))} for m in minutes))
    since, until = DAY + timedelta(minutes=10), DAY + timedelta(minutes=30)
    inside = found(settings, Span(since, until), since=since, until=until)
    assert [record.offset for record in inside] == [1, 3, 4]


# ── which ──


def test_records_are_selected_by_header_and_key(settings: Settings) -> None:
    write(
        settings,
        {"value": b"a", "key": b"k1", "headers": [("who", b"me"), ("who", b"you")]},
        {"value": b"b", "key": b"k2", "headers": [("who", None)]},
        {"value": b"c", "key": b"k1"},
    )
    assert [r.offset for r in found(settings, headers=[("who", "you")])] == [0]
    assert [r.offset for r in found(settings, headers=[("who", None)])] == [0, 1]
    assert [r.offset for r in found(settings, key="k1")] == [0, 2]
    assert [r.offset for r in found(settings, key="k1", headers=[("who", None)])] == [0]


def test_a_job_is_found_by_its_record_header_without_decoding_any_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = submitted(settings, *"abcdef", order_key="patient-7")
    decoded = count_decodes(monkeypatch)
    (record,) = found(settings, job_id=jobs[3].upper())
    assert record.value["header"]["job_id"] == jobs[3]
    assert len(decoded) == 1


def test_a_job_is_found_in_records_without_headers_and_in_unreadable_ones(settings: Settings) -> None:
    job, other = submitted(settings, "a", "b")
    requests = {record.key: record for record in found(settings)}
    raw = {key: stored(settings, each.partition).records[each.offset] for key, each in requests.items()}
    write(
        settings,
        {"value": raw[job].value, "key": b"patient"},
        {"value": raw[other].value, "key": b"patient"},
        {"value": b"damaged " + job.encode()},
        {"value": b'{"job_id": "%s"}' % job.encode()},
        {"value": b'{"parent_job_id": "%s"}' % job.encode()},
        {"value": None, "key": b"%s:0" % job.encode()},
        {"value": None, "key": b"job:%s:1" % job.encode()},
        topic="results.echo",
    )
    assert [r.offset for r in found(settings, topic="results.echo", job_id=job)] == [0, 2, 3, 5, 6]


def test_an_expression_reads_every_part_of_a_record(settings: Settings) -> None:
    jobs = submitted(settings, "short", "a long message", tenant="clinic")
    assert [r.key for r in found(settings, where="length(value.input.message) > `10`")] == jobs[1:]
    assert len(found(settings, where="headers.\"sluice-processor\" == 'echo' && value.header.tenant == 'clinic'")) == 2
    assert len(found(settings, where="partition >= `0` && starts_with(at, '20') && key != ''")) == 2
    assert found(settings, where="value.header.case_id") == []
    assert len(found(settings, where="offset")) == 2  # 0 is true in JMESPath
    assert len(found(settings, where="@ | value.header.tenant == 'clinic'")) == 2


def test_only_an_expression_that_reads_the_value_has_it_decoded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(settings, "a")
    decoded = count_decodes(monkeypatch)
    assert found(settings, where="headers.\"sluice-job\" == 'x' || size < `3` || contains(key, 'value')") == []
    assert decoded == []
    assert found(settings, where="value.input.message == 'b'") == []
    assert len(decoded) == 1


def test_an_expression_on_single_fields_has_the_results_of_one_on_the_whole_record(settings: Settings) -> None:
    deadline = datetime(2099, 1, 1, tzinfo=UTC)
    submitted(settings, "a", deadline=deadline, labels={"k": "v"})
    write(settings, {"value": b'{"when": [1.5, NaN], "n": 0}', "key": b"j"}, {"value": b"\xff"}, {"value": None})
    for text, count in {
        "value.header.deadline == '2099-01-01T00:00:00+00:00'": 1,
        "value.header.labels.k == 'v'": 1,
        "value.n": 1,
        "value.when == value.when && length(value.when) == `2`": 1,
        "value == 'ff'": 1,
        "format == 'tombstone' || undecodable": 2,
        "!value": 1,
        "nothing.at.all": 0,
    }.items():
        whole = f"[@][?{text}] | [0]"
        assert len(found(settings, where=text)) == len(found(settings, where=whole)) == count, text


def test_an_expression_that_fits_some_records_only_is_no_error(settings: Settings) -> None:
    write(settings, {"value": b"x"}, {"value": b"x", "key": b"abc"})
    with TopicReader(settings, TOPIC, RecordFilter(where="contains(key, 'b')")) as reader:
        assert [record.offset for record in reader.everything()] == [1]
        assert reader.matcher.expression is not None
        assert (reader.matcher.expression.failed, "contains" in str(reader.matcher.expression.failure)) == (1, True)


@pytest.mark.parametrize("text", ["value.", "value ==", "nofunction(value)", "(" * 500, "x" * 3_000])
def test_text_that_is_no_expression_is_refused_with_the_next_step(settings: Settings, text: str) -> None:
    with pytest.raises(UsageError):
        found(settings, where=text)
