"""The log within this process: the public twin of Kafka for tests, with the same clients (`streams.log.port`) and promises.

`KAFKA_BOOTSTRAP_SERVERS=memory:NAME` chooses it for everything that asks `streams.log.kafka` for a client; the log called NAME
lives as long as the process, or until `MemoryLog.forget(NAME)`. Start reading at `log.py`.

May import: confluent_kafka (its data types), nothing of the engine.
"""

from __future__ import annotations

from streams.log.memory.admin import MemoryAdmin
from streams.log.memory.consumer import MemoryConsumer
from streams.log.memory.log import MemoryLog
from streams.log.memory.producer import MemoryProducer

__all__ = ["MemoryAdmin", "MemoryConsumer", "MemoryLog", "MemoryProducer"]
