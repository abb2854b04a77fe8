"""Jobs of a key run one at a time, in the order in which they came."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.worker.ordering import OrderGate

PARTITIONS, KEYS = st.integers(0, 2), st.sampled_from("abc")


class GateBesideAModel(RuleBasedStateMachine):
    """The model: a plain list for each key, whose head is the one that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: OrderGate[int] = OrderGate()
        self.model: dict[tuple[int, str], list[int]] = defaultdict(list)
        self.next = 0

    @rule(partition=PARTITIONS, key=KEYS)
    def admit(self, partition: int, key: str) -> None:
        queue = self.model[partition, key]
        queue.append(self.next)
        assert self.gate.admit(partition, key, self.next) is (len(queue) == 1)
        self.next += 1

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        partition, key = data.draw(st.sampled_from(sorted(at for at, queue in self.model.items() if queue)))
        queue = self.model[partition, key]
        queue.pop(0)
        assert self.gate.done(partition, key) == (queue[0] if queue else None)

    @rule(partition=PARTITIONS)
    def forget(self, partition: int) -> None:
        waiting = [item for (owner, _), queue in self.model.items() if owner == partition for item in queue[1:]]
        for at in [at for at in self.model if at[0] == partition]:
            del self.model[at]
        assert sorted(self.gate.forget(partition)) == sorted(waiting)

    @invariant()
    def counts_the_waiting(self) -> None:
        assert len(self.gate) == sum(max(0, len(queue) - 1) for queue in self.model.values())


TestGateBesideAModel = GateBesideAModel.TestCase


@given(st.lists(KEYS, max_size=60), st.randoms(use_true_random=False))
def test_each_key_keeps_its_order_whichever_job_finishes_first(keys: list[str], luck: object) -> None:
    gate: OrderGate[tuple[str, int]] = OrderGate()
    running = [item for n, key in enumerate(keys) if gate.admit(0, key, item := (key, n))]
    ran = []
    while running:
        assert len({key for key, _ in running}) == len(running), "two jobs of one key at once"
        key, number = running.pop(luck.randrange(len(running)))  # type: ignore[attr-defined]
        ran.append((key, number))
        following = gate.done(0, key)
        if following is not None:
            running.append(following)
    assert len(ran) == len(keys)
    for key in set(keys):
        assert [n for k, n in ran if k == key] == [n for n, k in enumerate(keys) if k == key]


def test_a_job_done_after_its_partition_was_forgotten_changes_nothing() -> None:
    gate: OrderGate[int] = OrderGate()
    gate.admit("old", "a", 1)
    gate.admit("old", "a", 2)
    gate.forget("old")
    assert gate.done("old", "a") is None
    assert gate.admit("old", "a", 3)
