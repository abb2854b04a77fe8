"""Runs the whole machine: a cluster, a driver, a nemesis, and the checker at the end.

python -m tests.faults.machine --seed 7 --seconds 100
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import ConsumerGroupState, KafkaException

from schemas import contract
from streams import logs
from streams.audit.once import audit
from streams.audit.scope import Scope
from streams.log import kafka
from streams.log.port import LogAdmin
from tests.faults.cluster import PROCESSORS, SERVICES, Cluster, cluster
from tests.faults.doors import ClientDoor, CommandLineDoor, ForeignDoor, RowDoor
from tests.faults.driver import Door, Driver, Journal
from tests.faults.nemesis import Nemesis
from tests.faults.receiver import CallbackReceiver
from tests.faults.report import Report
from tests.faults.schedule import NEEDS_COMPILER, Fault, schedule
from tests.faults.shim import SERVICES as SHIMMED
from tests.faults.shim import Shim, compiler, shims
from tests.harness.checker.evidence import Evidence
from tests.harness.checker.findings import check
from tests.harness.checker.gather import RUNS, Sources, gather, lines
from tests.harness.checker.recovery import recoveries
from tests.harness.processors import chores
from tests.harness.waiting import wait_until

SEED = 7
SECONDS = 100.0
#: Seconds for which jobs are submitted after the last fault: longer than a recovery may take, so that it is measured, too.
AFTER_S = 20.0
#: Seconds until all services are ready, and without any progress until what is open counts as stuck.
READY_S = 120.0
QUIET_S = 45.0
#: Processors whose workers share the partitions of a consumer group.
SHARED = ("chore", "queue")


def run(folder: Path, seed: int, seconds: float, faults: list[Fault] | None = None, after_s: float = AFTER_S) -> Report:
    """Run the faults of `seed` (or those given) in the new folder `folder`, and write its report there.

    `after_s`: seconds for which jobs are submitted after the last fault.
    """
    folder.mkdir(parents=True)
    chosen = schedule(seed, seconds, _left_out()) if faults is None else faults
    with shims() as loaded, _processors(folder / "site", loaded), cluster(folder, loaded) as made:
        errors, until = _run(made, seed, chosen, after_s)
        evidence = _evidence(made)
    again = f"make faults SEED={seed}" + (f" SECONDS={seconds:g}" if seconds != SECONDS else "")
    exits = [f"{name}, status {status}, at {at - _begin(evidence):.1f} s" for at, name, status in made.exits]
    left_out = [f"{kind}: this machine has no C compiler" for kind in sorted(_left_out())]
    report = Report(
        seed, again, evidence, check(evidence), recoveries(evidence, until), exits=exits, left_out=left_out, errors=errors
    )  # fmt: skip
    report.write(folder)
    return report


def _run(made: Cluster, seed: int, faults: list[Fault], after_s: float) -> tuple[list[str], float]:
    """Submit under faults, until all is quiet. Return what went wrong with the run itself, and when the driver stopped."""
    settings = made.addresses.proxied
    journals = {name: Journal(made.folder / f"{name}.jsonl") for name in ("driver", "nemesis", "observed")}
    stop = threading.Event()
    observer = threading.Thread(target=_observe, args=(made.addresses.direct.database, journals["observed"], stop))
    keeper = threading.Thread(target=made.keep_running, args=(stop,))
    with CallbackReceiver(made.folder / "receiver.jsonl") as receiver:
        for name in SERVICES:
            made.start_service(name)
        _wait_until_ready(made)
        doors: list[tuple[Callable[[], Door], float]] = [
            (lambda: ClientDoor(settings), 20.0),
            (lambda: ClientDoor(settings), 20.0),
            (lambda: ForeignDoor(settings), 6.0),
            (lambda: RowDoor(settings), 2.0),
            (lambda: CommandLineDoor(settings), 0.1),
        ]
        driver = Driver(seed, settings, journals["driver"], receiver.url, doors)
        nemesis = Nemesis(made, receiver, journals["nemesis"])
        for part in (observer, keeper, driver):
            part.start()
        nemesis.run(faults)
        time.sleep(after_s)
        driver.stop()
        until = time.time()
        _wait_until_quiet(made)
        audited = _audited(made)
        stop.set()
        observer.join()
        keeper.join()
        statuses = made.stop_all()
    for journal in journals.values():
        journal.close()
    wrong = [f"{name} ended with status {status}" for name, status in statuses.items() if status != 0]
    return [*nemesis.errors, *wrong, *audited], until


def _audited(made: Cluster) -> list[str]:
    """Return what `sluice audit` finds: after any faults nothing, like the checker, which shares no code with it."""
    report = audit(made.addresses.direct, Scope())
    return [
        f"the audit found {one['kind']}: {example['job_id']} {example['detail']}"
        for one in report["findings"]
        for example in one["examples"]
    ]


def _evidence(made: Cluster) -> Evidence:
    direct = made.addresses.direct
    return gather(Sources(direct.bootstrap, direct.database, made.folder, PROCESSORS))


def _begin(evidence: Evidence) -> float:
    return min((job.at for job in evidence.submissions), default=0.0)


def _wait_until_ready(made: Cluster) -> None:
    """Wait until all services are ready and the workers share the partitions: a rebalance is a reason to run a job twice,
    and it would be none of the faults."""
    admin = kafka.admin(made.addresses.direct)

    def ready() -> bool:
        logs = {name: service.log.read_text() for name, service in made.services.items()}
        events = {"sink": "partitions_assigned", "timekeeper": "leadership_acquired", "notify": "notify_started"}
        begun = all(events.get(name, "worker_ready") in text for name, text in logs.items())
        return begun and all(_is_shared(made, admin, processor) for processor in SHARED)

    wait_until(ready, lambda: f"not all services are ready; logs in {made.folder}", READY_S)


def _is_shared(made: Cluster, admin: LogAdmin, processor: str) -> bool:
    """True if each worker of a processor is in its group with both lanes, and each partition is assigned."""
    settings = made.addresses.direct
    group = f"{settings.topic_prefix}workers.{processor}"
    try:
        described = admin.describe_consumer_groups([group], request_timeout=READY_S)[group].result()
    except KafkaException:
        return False
    workers = sum(processor in arguments for arguments in SERVICES.values())
    assigned = [place for member in described.members for place in member.assignment.topic_partitions]
    whole = len(described.members) == 2 * workers and len(assigned) == 2 * settings.partitions
    return whole and described.state is ConsumerGroupState.STABLE


def _observe(database: str, journal: Journal, stop: threading.Event) -> None:
    """Note which rows of `runs` changed, as any reader sees them, once a second."""
    connection: psycopg.Connection | None = None
    while not stop.wait(1.0):
        try:
            connection = connection or psycopg.connect(database, autocommit=True, connect_timeout=2)
            for row in connection.execute(f"{RUNS} WHERE updated_at > now() - interval '3 seconds'".encode()):
                journal.write((*row, time.time()))
        except psycopg.Error:
            connection = None
    if connection is not None:
        connection.close()


_OPEN = """
SELECT (SELECT count(*) FROM runs WHERE state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED', 'EXPIRED'))
     + (SELECT count(*) FROM deliveries WHERE state = 'pending')"""
_ENDED = "SELECT job_id::text FROM outcomes"


def _wait_until_quiet(made: Cluster) -> None:
    """Wait until every accepted job has its outcome and nothing is open, or until nothing moves: the checker names what is
    stuck."""
    accepted = {entry["job_id"] for entry in lines(made.folder / "driver.jsonl") if entry["type"] == "ok"}
    last, moved = None, time.monotonic()
    while time.monotonic() - moved < QUIET_S:
        with contextlib.suppress(psycopg.Error), psycopg.connect(made.addresses.direct.database) as database:
            ended = {job for (job,) in database.execute(_ENDED)}
            left = (len(accepted - ended), database.execute(_OPEN).fetchone())
            if left == (0, (0,)):
                return
            if left != last:
                last, moved = left, time.monotonic()
        time.sleep(0.5)


@contextlib.contextmanager
def _processors(site: Path, loaded: Mapping[str, Shim]) -> Iterator[None]:
    """Make the chores known to this process and to the services that it starts; services are started with their shim."""
    with pytest.MonkeyPatch.context() as patch, contract.installed(*chores.CONTRACTS):
        patch.setenv(
            "PYTHONPATH", os.pathsep.join(filter(None, [chores.installed(site), os.environ.get("PYTHONPATH")]))
        )
        if SHIMMED in loaded:
            for name, value in loaded[SHIMMED].environment.items():
                patch.setenv(name, value)
        yield


def _left_out() -> frozenset[str]:
    """Return the kinds of faults that this machine can't inject."""
    return frozenset() if compiler() else NEEDS_COMPILER


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--folder", type=Path, default=Path(".sluice/faults"))
    given = parser.parse_args()
    folder = given.folder / f"seed-{given.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left running
    logs.configure("error", "console")  # the driver's clients say that Kafka is away, which is meant
    faults = schedule(given.seed, given.seconds, _left_out())
    print("\n".join(str(fault) for fault in faults), flush=True)
    report = run(folder, given.seed, given.seconds, faults)
    print(f"\n{report}\n\n{folder}/ has the report, the journals and the logs", flush=True)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
