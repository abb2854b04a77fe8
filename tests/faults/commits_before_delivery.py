"""A worker that is broken on purpose: it commits the offsets that it has received instead of the ones that are done.

Run as a program in the real worker's place, it shows that the kill tests would notice.
"""

from __future__ import annotations

import sys
from unittest import mock

from streams.cli.service import serve
from streams.settings import load_settings
from streams.worker.kafka_source.offsets import OffsetTracker
from streams.worker.worker import Worker


def main() -> int:
    with mock.patch.multiple(OffsetTracker, position=lambda tracker: tracker.end, snapshot=lambda tracker: None):
        return serve("worker", lambda settings: Worker(settings, ["echo"]), load_settings())


if __name__ == "__main__":
    sys.exit(main())
