"""Tracker and metadata together through whole lives: owners that stop cleanly, owners that die, commits that get lost.

The model is a log of jobs, what a broker keeps for the group, and at most one owner. What it checks after each step is the
promise: no offset is lost, what was committed as done is not run again, and no job answers for crashes it was not at.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.worker.kafka_source.offset_metadata import HARD_LIMIT, decode, encode
from streams.worker.kafka_source.offsets import OffsetTracker

TOPIC_ID = "kYJ3hXyNT1y0b6c3a1mN2w"


class Log:
    """A partition as the broker has it, and the true history of its jobs."""

    def __init__(self) -> None:
        self.offsets: list[int] = []  # of records; markers lie between them
        self.end = 0
        self.committed = (0, "")
        self.done: set[int] = set()
        self.committed_done: set[int] = set()
        #: Owners that crashed after a commit that says this offset is in flight.
        self.committed_crashes: dict[int, int] = {}
        #: Owners that crashed after they had begun it; commits can only show fewer.
        self.crashes: dict[int, int] = {}


class Owner:
    def __init__(self, tracker: OffsetTracker, start: int) -> None:
        self.tracker = tracker
        self.start = self.next = start
        self.running: set[int] = set()
        self.held: set[int] = set()
        self.begun: set[int] = set()
        self.done: set[int] = set()
        self.committed: set[int] = set()  # in flight by the last commit of this owner


class Partitions(RuleBasedStateMachine):
    partitions: Bundle[int] = Bundle("partitions")

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[Log] = []
        self.owners: dict[int, Owner] = {}

    @initialize(target=partitions)
    def first_partition(self) -> int:
        return self._add()

    @rule(target=partitions)
    @precondition(lambda self: len(self.logs) < 3)
    def added(self) -> int:
        return self._add()

    def _add(self) -> int:
        self.logs.append(Log())
        return len(self.logs) - 1

    @rule(p=partitions, gaps=st.lists(st.integers(0, 3), min_size=1, max_size=40))
    def produced(self, p: int, gaps: list[int]) -> None:
        log = self.logs[p]
        for gap in gaps:
            log.offsets.append(log.end + gap)
            log.end += gap + 1

    @rule(p=partitions)
    def assigned(self, p: int) -> None:
        if p in self.owners:
            return
        log = self.logs[p]
        position, metadata = log.committed
        word = decode(position, metadata, TOPIC_ID)
        before = None if word is None else word.for_next_owner()
        tracker = OffsetTracker(before)
        assert tracker.position() in (None, position)
        self.owners[p] = Owner(tracker, position)

    @rule(p=partitions, most=st.integers(1, 30), hold=st.booleans())
    def handed_out(self, p: int, most: int, hold: bool) -> None:
        owner, log = self.owners.get(p), self.logs[p]
        if owner is None:
            return
        for offset in [offset for offset in log.offsets if offset >= owner.next][:most]:
            execution = owner.tracker.handed_out(offset)
            owner.next = offset + 1
            assert (execution == 0) == (offset in log.committed_done), "committed as done means: not run again"
            if execution:
                assert execution - 1 == log.committed_crashes.get(offset, 0) <= log.crashes.get(offset, 0)
                owner.running.add(offset)
                if hold:
                    owner.tracker.hold(offset)
                    owner.held.add(offset)
                else:
                    owner.begun.add(offset)

    @rule(p=partitions)
    def fetched_twice(self, p: int) -> None:
        owner, log = self.owners.get(p), self.logs[p]
        if owner is not None:
            for offset in log.offsets:
                if owner.start <= offset < owner.next:
                    assert owner.tracker.handed_out(offset) == 0

    @rule(p=partitions)
    def begun(self, p: int) -> None:
        owner = self.owners.get(p)
        if owner is not None:
            for offset in owner.held:
                owner.tracker.begin(offset)
            owner.begun |= owner.held
            owner.held.clear()

    @rule(p=partitions, data=st.data())
    def finished(self, p: int, data: st.DataObject) -> None:
        owner = self.owners.get(p)
        if owner is None or not owner.running - owner.held:
            return
        some = data.draw(st.sets(st.sampled_from(sorted(owner.running - owner.held))))
        for offset in some:
            owner.tracker.done(offset)
        owner.running -= some
        owner.done |= some
        self.logs[p].done |= some

    @rule(p=partitions)
    def committed(self, p: int) -> None:
        self._commit(p, is_open=True)

    @rule(p=partitions)
    def revoked(self, p: int) -> None:
        if p in self.owners:
            self._commit(p, is_open=False)
            del self.owners[p]

    @rule(p=partitions)
    def crashed(self, p: int) -> None:
        owner, log = self.owners.pop(p, None), self.logs[p]
        if owner is None:
            return
        for counts, offsets in ((log.crashes, owner.begun), (log.committed_crashes, owner.committed)):
            for offset in offsets:
                counts[offset] = counts.get(offset, 0) + 1

    @rule(p=partitions, text=st.sampled_from(["", "by hand", "AAAA", "sluice/1 open other bb", "sluice/9"]))
    def moved_by_another_tool(self, p: int, text: str) -> None:
        """A tool commits the same place with metadata of its own: holes and counts are forgotten, work is repeated."""
        log = self.logs[p]
        if p not in self.owners:
            log.committed = (log.committed[0], text)
            log.committed_done = {offset for offset in log.offsets if offset < log.committed[0]}
            log.committed_crashes.clear()

    @invariant()
    def the_position_never_passes_unfinished_work(self) -> None:
        for p, log in enumerate(self.logs):
            positions = [log.committed[0]]
            owner = self.owners.get(p)
            if owner is not None and (position := owner.tracker.position()) is not None:
                positions.append(position)
            assert all(offset in log.done for offset in log.offsets if offset < max(positions))

    @invariant()
    def metadata_fits(self) -> None:
        assert all(len(log.committed[1].encode("ascii")) <= HARD_LIMIT for log in self.logs)

    def teardown(self) -> None:
        """Whatever happened: the next owner of each partition is given all that is not done, and finishes."""
        for p, log in enumerate(self.logs):
            self.crashed(p)
            self.assigned(p)
            self.handed_out(p, len(log.offsets), False)
            owner = self.owners[p]
            assert owner.running >= set(log.offsets) - log.done
            for offset in sorted(owner.running, reverse=True):
                owner.tracker.done(offset)
            assert owner.tracker.position() in (None, max([log.committed[0], *[o + 1 for o in log.offsets[-1:]]]))

    def _commit(self, p: int, *, is_open: bool) -> None:
        owner, log = self.owners.get(p), self.logs[p]
        if owner is None or (snapshot := owner.tracker.snapshot()) is None:
            return
        assert snapshot.position == owner.tracker.position()
        log.committed = (snapshot.position, encode(snapshot, TOPIC_ID, is_open=is_open))
        unfinished = {offset for span in snapshot.spans for offset in range(span.start, span.stop)}
        assert not unfinished & owner.done, "what an earlier owner did without committing may run again"
        log.committed_done = {offset for offset in log.offsets if offset < snapshot.end} - unfinished
        owner.committed = owner.running - owner.held
        assert log.committed_done <= log.done, "no offset is committed as done that is not"


TestPartitions = Partitions.TestCase
TestPartitions.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
