"""How far the workers' group is with a request, by its committed offset and the metadata of the commit."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaException, TopicPartition

from schemas.records import Coordinates
from streams.explain.snapshot import LogPlace, RecordReading, WorkerSeen
from streams.log import kafka
from streams.log.member_ids import worker_of
from streams.log.port import LogAdmin, LogConsumer
from streams.worker.kafka_source.offset_metadata import decode, topic_of

#: Seconds that one question to Kafka may take.
TIMEOUT_S = 3.0


def place_of(
    request: Coordinates, committed: int | None, metadata: str | None, begin: int, end: int, partitions: int = 1
) -> LogPlace:
    """Return a request's place. `committed`: the group's offset, None without one; `begin`, `end`: of the partition's log.

    The metadata says which offsets beyond the committed one are unfinished, and which of these a worker has in flight.
    """
    offset, position = request.offset, begin if committed is None else committed
    found = None if committed is None else decode(committed, metadata, topic_of(metadata))
    spans = () if found is None else found.snapshot.spans
    handed_out = position if found is None else max(position, found.snapshot.end)
    is_open = found is not None and found.open
    in_flight = sum(each.stop - each.start for each in spans if each.in_flight and is_open)
    given_back = sum(
        min(each.stop, offset) - each.start
        for each in spans
        if not (each.in_flight and is_open) and each.start < offset
    )
    mine = next((each for each in spans if each.start <= offset < each.stop), None)
    if mine is not None:
        reading = RecordReading.TAKEN if mine.in_flight and is_open else RecordReading.UNREAD
    else:
        reading = RecordReading.UNREAD if offset >= handed_out else RecordReading.FINISHED
    ahead = given_back + max(0, offset - handed_out) if reading is RecordReading.UNREAD else 0
    return LogPlace(
        request, reading, ahead, in_flight, committed, mine.crashes if mine else 0, max(0, end - position), partitions
    )


def find_place(consumer: LogConsumer, request: Coordinates) -> LogPlace:
    """Ask for a request's place. `consumer`: a client of the workers' group that never joins it. Raises Unreachable."""
    partition = TopicPartition(request.topic, request.partition)
    try:
        [found] = consumer.committed([partition], timeout=TIMEOUT_S)
        begin, end = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)
        partitions = len(consumer.list_topics(request.topic, timeout=TIMEOUT_S).topics[request.topic].partitions)
    except KafkaException as error:
        raise kafka.translate(error, "reading how far the workers are") from error
    return place_of(request, found.offset if found.offset >= 0 else None, found.metadata, begin, end, partitions)


def members(admin: LogAdmin, group: str, request: Coordinates | None) -> list[WorkerSeen]:
    """Return the members of the workers' group, and which of them owns the request's partition. Raises Unreachable."""
    try:
        described = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result(TIMEOUT_S + 2.0)
    except KafkaException as error:
        if error.args[0].name() == "GROUP_ID_NOT_FOUND":
            return []
        raise kafka.translate(error, f"asking for the members of {group}") from error
    mine = None if request is None else (request.topic, request.partition)
    seen: dict[str, bool] = {}  # a worker has a member for each lane
    for member in described.members:
        owned = {(each.topic, each.partition) for each in member.assignment.topic_partitions}
        worker_id = worker_of(member.client_id)
        seen[worker_id] = seen.get(worker_id, False) or mine in owned
    return [WorkerSeen(worker_id, member=True, owner=owner) for worker_id, owner in seen.items()]


def sink_behind(consumer: LogConsumer, topics: Iterable[str]) -> int:
    """Return how far the sink is behind on these topics. `consumer`: of its group, which it never joins. Raises Unreachable."""
    try:
        there = consumer.list_topics(timeout=TIMEOUT_S).topics
        wanted = [TopicPartition(name, number) for name in topics if name in there for number in there[name].partitions]
        found = consumer.committed(wanted, timeout=TIMEOUT_S)
        bounds = [(each, *consumer.get_watermark_offsets(each, timeout=TIMEOUT_S)) for each in found]
    except KafkaException as error:
        raise kafka.translate(error, "reading how far the sink is") from error
    return sum(end - (begin if each.offset < 0 else max(begin, each.offset)) for each, begin, end in bounds)
