"""The schedule of faults: a pure function of the seed, so that any run can be printed and run again.

python -m tests.faults.schedule 7 100
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass

SERVICES = ("worker", "helper", "sink", "timekeeper", "notify")
COMPONENTS = ("kafka", "postgres", "registry")
#: Faults that may be drawn, by kind: the targets, and the seconds that the fault may last.
KINDS: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "kill": ((*SERVICES, "child", *COMPONENTS), (0.5, 2.0)),
    "freeze": ((*SERVICES, *COMPONENTS), (2.0, 5.0, 12.0)),
    "stop": ((*SERVICES, *COMPONENTS), (0.5, 2.0)),
    "cut": (COMPONENTS, (1.0, 6.0)),
    "stall": (COMPONENTS, (2.0, 8.0)),
    "delay": (("kafka", "postgres"), (4.0,)),
    "receiver": (("stall", "refuse", "hang up", "accept and answer 500"), (2.0, 4.0)),
    "scale": (("one more", "one less"), (5.0,)),
    "clock": (("ahead", "back"), (5.0,)),
    "disk full": (("kafka", "postgres"), (3.0,)),
}
#: Kinds that need the library that is loaded before libc (tests/faults/shim.py), so a C compiler.
NEEDS_COMPILER = frozenset({"clock", "disk full"})
EVERYTHING = "everything"
#: Seconds from the first job to the first fault, and from one fault's end to the next one's begin.
CALM_S = 8.0
GAPS_S = (1.0, 4.0)
#: The share of faults that begin while the one before still lasts.
OVERLAPPING = 0.2


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: seconds after the first job. `lasts`: seconds until it is healed."""

    at: float
    lasts: float
    kind: str
    target: str

    @property
    def name(self) -> str:
        return f"{self.kind} {self.target}"

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.kind:10} {self.target:22} for {self.lasts:4.1f} s"


def schedule(seed: int, seconds: float, without: Iterable[str] = ()) -> list[Fault]:
    """Return the faults of a run that lasts `seconds`, in the order of their begin. `without`: kinds that are left out.

    All pairs of kind and target are shuffled and dealt, so a run has each at most once and a few runs have them all. The last
    fault kills everything at once.
    """
    chosen = random.Random(seed)
    cards = [(kind, target) for kind, (targets, _) in KINDS.items() for target in targets]
    chosen.shuffle(cards)
    faults: list[Fault] = []
    at = CALM_S
    for kind, target in cards:
        lasts = chosen.choice(KINDS[kind][1])
        gap, overlaps = chosen.uniform(*GAPS_S), chosen.random() < OVERLAPPING
        if kind in without:
            continue
        if at + lasts > seconds - 12.0:
            break
        faults.append(Fault(round(at, 1), lasts, kind, target))
        at += lasts / 2 if overlaps else lasts + gap
    faults.append(Fault(round(max(at, seconds - 10.0), 1), 1.0, EVERYTHING, ""))
    return faults


if __name__ == "__main__":
    print("\n".join(str(fault) for fault in schedule(int(sys.argv[1]), float(sys.argv[2]))))
