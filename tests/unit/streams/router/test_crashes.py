"""A router that dies at any call, and reads again what it had not committed, submits each job, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.router.joins import Piece
from streams.router.publisher import Kept, ReadRecord
from streams.router.routing import Routing
from tests.unit.streams.router.kit import HandlerKit, Recorder, result, rules, upload


class Crash(BaseException):
    """The process is gone."""


class Log(Recorder):
    """The log survives a crash. `crashes`: numbers of calls that end the router, before or after the call took effect."""

    def __init__(self, crashes: Sequence[tuple[int, bool]]) -> None:
        super().__init__()
        self._crashes = dict(crashes)
        self._calls = 0
        self.table: dict[bytes, bytes] = {}

    def submit(self, jobs: Any) -> Any:
        return self._call(super().submit, jobs)

    def publish(self, pieces: Sequence[Piece], dead: Any) -> None:
        self._call(super().publish, pieces, dead)

    def keep(self, entries: Sequence[Kept]) -> None:
        def write(entries: Sequence[Kept]) -> None:
            self.table.update({entry.key: entry.value for entry in entries if entry.value is not None})

        self._call(write, entries)

    def _call(self, effect: Any, *args: Any) -> Any:
        self._calls += 1
        after = self._crashes.get(self._calls)
        if after is False:
            raise Crash
        answer = effect(*args)
        if after is True:
            raise Crash
        return answer


class Simulation:
    """A router on a log of sources and a log of parts, each read from its committed offset after a crash."""

    def __init__(self, kit: HandlerKit, sources: list[ReadRecord], log: Log) -> None:
        self._kit, self._sources, self._log = kit, sources, log
        self._committed = {"sources": 0, "parts": 0}

    def run(self, sizes: list[int]) -> None:
        for size in [*sizes, *[50] * 100]:
            if not self._turn(size):
                return
        raise AssertionError("the router never comes to an end")

    def _turn(self, size: int) -> bool:
        """Handle a batch of each log by a router that has just been started; False if there was nothing to do."""
        parts = [self._kit.part(piece) for piece in self._log.pieces]
        busy = False
        for name, records in (("sources", self._sources), ("parts", parts)):
            start = self._committed[name]
            if batch := records[start : start + size]:
                busy = True
                self._kit.start(self._log, self._log.table)
                try:
                    self._kit.handler.handle(batch)
                except Crash:
                    continue
                self._committed[name] = start + len(batch)
        return busy


NUMBERS = range(3)
UPLOADS = [upload(f"u{n}", kind=kind, case_id=f"c{n}") for n in NUMBERS for kind in ("mr", "table")]
OUTCOMES = [result(name, 2 * n + (name == "embed"), case_id=f"c{n}") for n in NUMBERS for name in ("echo", "embed")]


@settings(max_examples=60)
@given(
    st.permutations(range(len(UPLOADS) + len(OUTCOMES))),
    st.lists(st.tuples(st.integers(1, 25), st.booleans()), max_size=6),
    st.lists(st.integers(1, 6), max_size=12),
)
def test_every_job_is_submitted_whenever_the_router_dies(
    sequence: list[int], crashes: list[tuple[int, bool]], sizes: list[int]
) -> None:
    kit, log = HandlerKit(), Log(crashes)
    made = [*map(kit.upload, UPLOADS), *map(kit.outcome, OUTCOMES)]
    Simulation(kit, [made[number] for number in sequence], log).run(sizes)
    ids = {(job.rule, job.processor, job.options["case_id"], job.options["idempotency_key"]) for job in log.jobs}
    assert {one[:3] for one in ids} == expected()
    assert len(ids) == len(expected())
    assert log.dead == []


def expected() -> set[tuple[str, str, str]]:
    """Return rule, processor and case of each job."""
    found = set()
    for rule in (*rules().upload, *rules().join):
        found |= {(rule.name, submit.processor, f"c{n}") for submit in rule.submit for n in NUMBERS}
    assert Routing(rules()).joins.keys() <= {rule for rule, _, _ in found}
    return found
