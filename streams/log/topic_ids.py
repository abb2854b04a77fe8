"""Topic ids, which change when a topic is deleted and made again under its name."""

from __future__ import annotations

from typing import Any


def uuid_bytes(topic_id: Any) -> bytes:
    """Return the 16 bytes of a confluent_kafka Uuid (typed Any because its stubs lack the methods)."""
    high: int
    low: int
    high, low = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return high.to_bytes(8, "big", signed=high < 0) + low.to_bytes(8, "big", signed=low < 0)
