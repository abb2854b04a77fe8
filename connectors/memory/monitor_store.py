"""Reads for monitoring, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from connectors.memory.database import MemoryStore, earliest
from connectors.monitor_store import LeasedQueue, ProcessorFlow, SinkPosition


class MemoryMonitorStore(MemoryStore):
    """Implements `connectors.monitor_store.MonitorStore`."""

    def sink_positions(self, group: str) -> list[SinkPosition]:
        with self._db.reading():
            return [
                SinkPosition(topic_id, partition, row.next_offset)
                for (name, topic_id, partition), row in self._db.offsets.items()
                if name == group
            ]

    def leased(self) -> list[LeasedQueue]:
        with self._db.reading():
            found: dict[tuple[str, str], LeasedQueue] = {}
            for key, lease in self._db.leases.items():
                if lease.state not in ("waiting", "offered", "held"):
                    continue
                of = (lease.processor, lease.lane)
                known, run = found.get(of, LeasedQueue(*of, 0, 0, None)), self._db.runs.get(key)
                found[of] = LeasedQueue(
                    *of,
                    known.waiting + (lease.state in ("waiting", "offered")),
                    known.held + (lease.state == "held"),
                    earliest(known.oldest_at, None if run is None else run.requested_at),
                )
            return [found[of] for of in sorted(found, key=lambda of: (of[0], of[1] != "live"))]

    def flow(self, window: timedelta) -> list[ProcessorFlow]:
        with self._db.reading() as now:
            jobs, runs, since = self._db.jobs, self._db.runs, now - window
            published = {
                (row.job_id, row.run): row.published_at
                for replay in self._db.replays.values()
                for row in replay.rows
                if row.job_id is not None and row.run is not None and row.published_at is not None
            }
            first = [key for key, run in runs.items() if key[1] == 0 and run.requested_at > since]
            again = [key for key, at in published.items() if at > since]
            came = Counter(jobs[job].processor for job, _ in [*first, *again] if job in jobs)
            ended, failed = Counter[str](), Counter[str]()
            queued: dict[str, list[float]] = {}
            ran: dict[str, list[float]] = {}
            for key, outcome in self._db.outcomes.items():
                if outcome.decided_at <= since or outcome.job_id not in jobs:
                    continue
                name = jobs[outcome.job_id].processor
                ended[name] += 1
                failed[name] += outcome.status != "COMPLETED"
                if outcome.run_ms is not None:
                    ran.setdefault(name, []).append(outcome.run_ms)
                if outcome.started_at is not None and key in runs:
                    waited = (outcome.started_at - published.get(key, runs[key].requested_at)).total_seconds() * 1000
                    queued.setdefault(name, []).append(max(0.0, waited))
            return [
                ProcessorFlow(
                    name,
                    came[name],
                    ended[name],
                    failed[name],
                    _percentile(queued.get(name, ()), 0.5),
                    _percentile(queued.get(name, ()), 0.95),
                    _percentile(ran.get(name, ()), 0.5),
                    _percentile(ran.get(name, ()), 0.95),
                )
                for name in sorted(came.keys() | ended.keys())
            ]


def _percentile(numbers: Sequence[float], share: float) -> float | None:
    """Interpolate like `percentile_cont` in SQL."""
    if not numbers:
        return None
    ordered = sorted(numbers)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
