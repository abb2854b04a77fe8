"""`python -m bench.device`: how near a worker's child keeps a device to what a bare loop makes of it.

For each device and policy the child process and a bare loop (decode, prepare, run, finish, one batch after another) get the
same requests, in turn, and the ratio of their rates is printed. Every output of the child must equal the loop's, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from bench.device_child import Child, Records, running
from bench.device_models import DEVICES as SIMULATED
from bench.device_networks import NETWORKS
from processors.devices import device_fault
from processors.local import LocalLoadContext
from processors.protocol import Job, JobContext
from schemas.envelope import header_of
from schemas.plain import from_plain, to_plain
from schemas.records import ECHO

CPUS = len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class DeviceCase:
    """A device under a policy. `bound`: the least ratio that is wanted; None if there is none. `place`: where it runs."""

    device: str
    policy: dict[str, Any]
    bound: float | None = None
    place: str = "cpu"

    @property
    def name(self) -> str:
        where = [] if self.place == "cpu" else [self.place]
        return " ".join([self.device, *where, *(f"{name}={value}" for name, value in self.policy.items())])


CASES = [
    DeviceCase("launching", {}, 0.95),
    DeviceCase("launching", {"threads": 1}),
    DeviceCase("launching", {"threads": 2}),
    DeviceCase("launching", {"processes": 1}, 0.95),
    DeviceCase("launching", {"processes": 2}),
    DeviceCase("sleeping", {}, 0.95),
    DeviceCase("sleeping", {"threads": 2}),
    DeviceCase("sleeping", {"processes": 1}, 0.95),
    DeviceCase("volumes", {}),
    DeviceCase("volumes", {"threads": 1}),
    DeviceCase("volumes", {"threads": 2}),
    DeviceCase("volumes", {"processes": 1}),
    DeviceCase("volumes", {"processes": "auto"}, 0.9),
    DeviceCase("network", {}, 0.95),
    DeviceCase("network", {"threads": 1}),
    DeviceCase("network", {"processes": 1}),
]
CUDA = "cuda:0"
#: Measured as well where a kernel runs on CUDA.
CUDA_CASES = [
    DeviceCase("deep", {}, 0.95, CUDA),
    DeviceCase("deep", {"threads": 1}, None, CUDA),
    DeviceCase("deep", {"processes": 1}, 0.95, CUDA),
    DeviceCase("deep", {"processes": 2}, None, CUDA),
]
DEVICES = {**SIMULATED, **NETWORKS}


@dataclass(slots=True)
class DeviceReport:
    """Rates in jobs per second, the medians of the rounds. `ratio`: the median of the rounds' ratios of child to loop; for
    `volumes` to the lower of the loop on every core and the device alone."""

    case: str
    bare_per_s: float = 0.0
    child_per_s: float = 0.0
    ratio: float = 0.0
    bound: float | None = None
    ratios: list[float] = field(default_factory=list)


class BareLoop:
    """The loop that the engine is compared with, in this process."""

    def __init__(self, records: Records, device: type[Any], place: str) -> None:
        self._records = records
        self._processor = device()
        self._processor.load(LocalLoadContext(device, place))

    def run(self, values: Sequence[bytes]) -> tuple[float, list[Any]]:
        """Run the requests; return the seconds and the outputs."""
        processor, size, began = self._processor, self._processor.policy.batch.max_size, time.perf_counter()
        ctx, outputs = cast(JobContext, None), []  # these processors do not look at it
        for start in range(0, len(values), size):
            jobs = [self._decoded(value) for value in values[start : start + size]]
            raws = processor.run([processor.prepare(job, ctx) for job in jobs])
            outputs += [processor.finish(job, raw, ctx) for job, raw in zip(jobs, raws, strict=True)]
        return time.perf_counter() - began, outputs

    def _decoded(self, value: bytes) -> Job[Any]:
        plain = self._records.codec.decode(value, self._records.reader_schema)
        return Job(header_of(plain), from_plain(ECHO.input, plain["input"]))


def measure(
    cases: Sequence[DeviceCase], rounds: int, advance: Callable[[str], None] = lambda _: None
) -> list[DeviceReport]:
    """Measure each case: a round is the bare loop and then the child, with the same requests.

    Raises RuntimeError if an output of the child differs from the loop's.
    """
    records, reports = Records(), []
    for case in cases:
        advance(case.name)
        device = DEVICES[case.device]
        values = records.requests(device.jobs, device.message_bytes)
        with ExitStack() as stack:
            child = stack.enter_context(running(records, device, json.dumps(case.policy), case.place))
            reports.append(_rounds(case, rounds, BareLoop(records, device, case.place), child, records, values))
    return reports


def _rounds(
    case: DeviceCase, rounds: int, loop: BareLoop, child: Child, records: Records, values: Sequence[bytes]
) -> DeviceReport:
    report, rates = DeviceReport(case.name, bound=case.bound), []
    warm = values[: max(1, len(values) // 5)]
    loop.run(warm), child.run(warm)
    for _ in range(rounds):
        bare_s, outputs = loop.run(values)
        child_s, results = child.run(values)
        if records.outputs(results) != [to_plain(output) for output in outputs]:
            raise RuntimeError(f"{case.name}: an output differs from the bare loop's")
        rates.append((len(values) / bare_s, len(values) / child_s))
        report.ratios.append(round(rates[-1][1] / _goal(case, rates[-1][0]), 3))
    report.bare_per_s, report.child_per_s = (statistics.median(each) for each in zip(*rates, strict=True))
    report.ratio = statistics.median(report.ratios)
    return report


def _goal(case: DeviceCase, bare_per_s: float) -> float:
    """Return the rate that the child is compared with."""
    if case.device != "volumes":
        return bare_per_s
    return min(CPUS * bare_per_s, 1 / float(DEVICES["volumes"].device_s))


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table, or with --json an object with the machine and the reports. Returns 1 if a ratio is below its bound."""
    parser = argparse.ArgumentParser(prog="python -m bench.device", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds a case; the median counts")
    parser.add_argument("--case", action="append", default=[], help="measure only cases whose name has this text")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--place", help="measure only cases that run there: cpu or cuda:0")
    options = parser.parse_args(argv)
    fault = device_fault(CUDA)
    if fault is not None:
        print(f"no CUDA device, so its cases are left out: {fault}", file=sys.stderr)
    known = [case for case in [*CASES, *(CUDA_CASES if fault is None else [])] if options.place in (None, case.place)]
    cases = [case for case in known if not options.case or any(text in case.name for text in options.case)]
    reports = measure(cases, options.rounds, lambda name: print(f"{name} …", file=sys.stderr))
    if options.json:
        print(json.dumps({"cpus": CPUS, "load": os.getloadavg(), "reports": [asdict(each) for each in reports]}))
    else:
        print(f"{'CASE':32} {'BARE/s':>9} {'CHILD/s':>9} {'RATIO':>6} {'WANTED':>6}  ROUNDS")
        for each in reports:
            wanted = "" if each.bound is None else f"{each.bound:g}"
            ratios = " ".join(f"{ratio:.2f}" for ratio in each.ratios)
            print(
                f"{each.case:32} {each.bare_per_s:9.1f} {each.child_per_s:9.1f} {each.ratio:6.2f} {wanted:>6}  {ratios}"
            )
    return int(any(each.bound is not None and each.ratio < each.bound for each in reports))


if __name__ == "__main__":
    sys.exit(main())
