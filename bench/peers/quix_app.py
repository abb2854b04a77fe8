"""Quix Streams for the worker, requests -> results; rows and callbacks by the hand-written sink, since it has none for them.

At least once: it commits offsets every second, after its producer has flushed.
"""

from __future__ import annotations

import handwritten
import work
from quixstreams import Application


def main() -> None:
    app = Application(
        broker_address=work.KAFKA,
        consumer_group=f"quix-{work.VISIT}",
        auto_offset_reset="earliest",
        commit_interval=1.0,
        auto_create_topics=False,
        use_changelog_topics=False,
        producer_extra_config={"linger.ms": 0, "compression.type": "lz4"},
        loglevel="WARNING",
    )
    requests = app.topic(handwritten.REQUESTS, value_deserializer="json", key_deserializer="bytes")
    results = app.topic(handwritten.RESULTS, value_serializer="json", key_serializer="bytes")
    app.dataframe(requests).apply(lambda job: job).to_topic(results)
    app.run()


SUBMITTER = handwritten.KafkaSubmitter

if __name__ == "__main__":
    handwritten.create_topics()
    main()
