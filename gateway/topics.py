"""`/v1/topics`, `/v1/lag` and a topic's records: for operators of every tenant, because a topic holds the records of all."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from gateway.models import EXAMPLE_TIME
from gateway.openapi import json_of, problems
from gateway.ports import P, Ports
from gateway.principal import CanOperateAll
from schemas.codec import Codec
from schemas.errors import NotFound
from schemas.topics import declared
from streams import wiring
from streams.admin.expression import LONGEST
from streams.admin.lag import Lag, lags
from streams.admin.log_range import Span
from streams.admin.record_filter import RecordFilter
from streams.admin.records import record_json
from streams.admin.scan import Scan
from streams.admin.tail import TopicReader
from streams.admin.topic_views import TopicView, topic_views
from streams.settings import Settings

router = APIRouter(prefix="/v1", tags=["Topics"])

#: Seconds that one request may scan.
SCAN_S = 5.0
#: Bytes of the values of one page. The last record may exceed it.
PAGE_BYTES = 4 << 20

TopicName = Annotated[
    str,
    Path(max_length=249, pattern=r"^[A-Za-z0-9._-]+$", description="Name of a topic.", examples=["requests.echo"]),
]


class TopicInfo(BaseModel):
    """A topic. `records` counts offsets, `bytes` is an estimate, `schemas` has the ids that wrote the newest records."""

    name: str = Field(examples=["requests.echo"])
    partitions: int
    records: int
    bytes: int | None
    retention_ms: int | None
    compacted: bool
    first_at: datetime | None = Field(examples=[EXAMPLE_TIME])
    last_at: datetime | None
    subject: str | None
    schema_id: int | None
    schemas: dict[int, int]
    readers: list[str] = Field(description="Consumer groups that have committed an offset.")
    exists: bool

    @classmethod
    def of(cls, view: TopicView) -> Self:
        fields = {name: getattr(view, name) for name in cls.model_fields}
        return cls(**{**fields, "schemas": dict(view.schemas), "readers": list(view.readers)})


class TopicList(BaseModel):
    items: list[TopicInfo]


class PartitionLagInfo(BaseModel):
    partition: int
    committed: int | None
    first: int = Field(description="The first unfinished offset.")
    end: int
    records: int | None
    oldest_at: datetime | None


class LagInfo(BaseModel):
    """Unfinished records of a group on a topic; null: it has never committed, which is not 0. `seconds`: age of the oldest."""

    group: str = Field(examples=["workers.echo"])
    topic: str = Field(examples=["requests.echo"])
    records: int | None
    seconds: float | None
    no_commit: int = Field(description="Partitions with records on which the group has committed nothing.")
    source: str = Field(examples=["kafka"], description="kafka, postgres, or mirror while Postgres is away")
    partitions: list[PartitionLagInfo]

    @classmethod
    def of(cls, lag: Lag, with_partitions: bool) -> Self:
        shown = [PartitionLagInfo.model_validate(each, from_attributes=True) for each in lag.partitions]
        names = ("group", "topic", "records", "seconds", "no_commit", "source")
        return cls(**{name: getattr(lag, name) for name in names}, partitions=shown if with_partitions else [])


class LagList(BaseModel):
    items: list[LagInfo]


class TopicRecord(BaseModel):
    """A record. `format`: avro, json, tombstone or bytes: those are in hex, and `undecodable` says why."""

    topic: str
    partition: int
    offset: int
    at: datetime | None
    key: str | None
    headers: dict[str, str]
    format: str = Field(examples=["avro"])
    size: int
    value: Any = None
    undecodable: str | None = None


class RecordPage(BaseModel):
    """`complete`: everything up to now was read; else `partial` says why not. `next_offset`: where to go on, with `offset`."""

    items: list[TopicRecord]
    next_offset: int | None
    complete: bool
    partial: str | None
    read: int = Field(description="Records that were looked at.")


@router.get("/topics", response_model=TopicList)
async def list_topics(ports: P, _: CanOperateAll) -> Response:
    """List the topics of this installation. Needs a token of every tenant."""
    settings = ports.settings
    found = await _in_thread(ports, topic_views, settings, wiring.contracts(settings))
    return json_of(TopicList(items=[TopicInfo.of(view) for view in found]))


@router.get("/lag", response_model=LagList)
async def read_lag(
    ports: P,
    _: CanOperateAll,
    partitions: Annotated[bool, Query(description="With the partitions of each topic.")] = False,
) -> Response:
    """Show how far each consumer group is behind, in records and in seconds. Needs a token of every tenant."""
    settings = ports.settings
    found = await _in_thread(ports, lags, settings, wiring.contracts(settings))
    return json_of(LagList(items=[LagInfo.of(lag, partitions) for lag in found]))


@router.get("/topics/{name}/records", response_model=RecordPage, responses=problems(404))
async def read_records(
    ports: P,
    _: CanOperateAll,
    name: TopicName,
    partition: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    offset: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="First offset; needs `partition`.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    where: Annotated[
        str | None,
        Query(
            max_length=LONGEST,
            description="A JMESPath expression over topic, partition, offset, at, key, headers, size and value.",
            examples=["value.header.tenant == 'clinic'"],
        ),
    ] = None,
) -> Response:
    """Read records: from `offset` of a partition on, else the newest. Needs a token of every tenant.

    A request scans for some seconds at most. `next_offset` goes on where it ended.
    """
    span = Span(partition=partition, first=offset)
    page = await _in_thread(ports, read_page, ports.settings, ports.codec, name, span, limit, where)
    return json_of(page)


def read_page(settings: Settings, codec: Codec, name: str, span: Span, limit: int, where: str | None) -> RecordPage:
    """Raises NotFound, UsageError, Unreachable."""
    topics = {each.name for each in declared(wiring.contracts(settings), settings.topics, joins=True)}
    topic = name if name in topics else settings.topic_prefix + name
    if topic not in topics:
        raise NotFound(f"There is no topic {name!r}.", next_step="`GET /v1/topics` lists them.")
    with TopicReader(settings, topic, RecordFilter(where=where), span, codec) as reader:
        scan = Scan(reader.range.total, None if span.first is None else limit, SCAN_S)
        if span.first is None:
            records = reader.last(limit, scan if where is not None else None)
            while sum(each.size for each in records[1:]) > PAGE_BYTES:
                records = records[1:]
            return _page(records, None, scan)
        records, size, passed = [], 0, span.first
        for record in reader.scan(scan):
            records.append(record)
            size += record.size
            passed = record.offset + 1
            if size > PAGE_BYTES:
                scan.partial = "the page is full"
                break
        if scan.partial is None or not records or scan.timed_out:
            passed = max(span.first, reader.range.parts.get(span.partition or 0, (span.first, 0))[0] + scan.read)
        return _page(records, passed, scan)


def _page(records: list[Any], next_offset: int | None, scan: Scan) -> RecordPage:
    items = [TopicRecord(**record_json(record)) for record in records]
    return RecordPage(
        items=items,
        next_offset=next_offset,
        complete=scan.complete,
        partial=scan.partial,
        read=max(scan.read, len(items)),
    )


async def _in_thread(ports: Ports, do: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(ports.log_readers, do, *arguments)
