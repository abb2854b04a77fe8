"""The in-memory twin of Kafka, for tests: the same clients (`streams.log.port`) with the same promises, within this process.

`KAFKA_BOOTSTRAP_SERVERS=memory:NAME` selects it for every client of `streams.log.kafka`. The log called NAME lives as long as
the process, or until `MemoryLog.forget(NAME)`. Start reading at `log.py`, then `shared.py`.

May import: confluent_kafka (its data types) and the port, nothing of the engine.
"""

from __future__ import annotations

from streams.log.memory.admin import MemoryAdmin
from streams.log.memory.consumer import MemoryConsumer
from streams.log.memory.log import MemoryLog
from streams.log.memory.producer import MemoryProducer

__all__ = ["MemoryAdmin", "MemoryConsumer", "MemoryLog", "MemoryProducer"]
