"""A worker that is broken on purpose: it commits what it has received instead of what is done.

Run as a program in the real worker's place, it shows that the kill tests would notice.
"""

from __future__ import annotations

import sys

from streams.cli.service import serve
from streams.settings import load_settings
from streams.worker.kafka_source.assignment import CommitPolicy
from streams.worker.kafka_source.offsets import OffsetTracker
from streams.worker.worker import Worker


class CommitWhatWasReceived(CommitPolicy):
    def position(self, tracker: OffsetTracker) -> int | None:
        return tracker.end


def main() -> int:
    return serve(
        "worker", lambda settings: Worker(settings, ["echo"], commit_policy=CommitWhatWasReceived()), load_settings()
    )


if __name__ == "__main__":
    sys.exit(main())
