"""Injects the faults of a schedule, heals each, and notes when."""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from tests.faults import shim
from tests.faults.cluster import SERVICES, Cluster, in_parallel
from tests.faults.driver import Journal
from tests.faults.receiver import CallbackReceiver
from tests.faults.schedule import EVERYTHING, Fault

Action = Callable[[], None]
#: Seconds by which a clock is stepped.
STEP_S = 90.0


class Nemesis:
    """Each fault has a thread of its own; faults of one target come one after the other."""

    def __init__(self, cluster: Cluster, receiver: CallbackReceiver, journal: Journal) -> None:
        self._cluster = cluster
        self._receiver = receiver
        self._journal = journal
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._began = 0.0
        self.errors: list[str] = []

    def run(self, faults: Iterable[Fault]) -> None:
        """Inject all; return once the last is healed."""
        self._began = time.monotonic()
        threads = [threading.Thread(target=self._inject, args=(fault,), name=fault.name) for fault in faults]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _inject(self, fault: Fault) -> None:
        time.sleep(max(0.0, self._began + fault.at - time.monotonic()))
        names = sorted(self._hits(fault))
        locks = [self._locks[name] for name in names]
        for lock in locks:
            lock.acquire()
        begin = time.time()
        try:
            heal = self._strike(fault)
            time.sleep(fault.lasts)
            heal()
        except Exception as error:  # noqa: BLE001 (reported with the run: a fault that can't be healed spoils it)
            self.errors.append(f"{fault.name}: {type(error).__name__}: {error}")
        finally:
            self._journal.write({"begin": begin, "end": time.time(), "name": fault.name, "hits": names})
            for lock in reversed(locks):
                lock.release()

    def _hits(self, fault: Fault) -> set[str]:
        """Return the services and components that a fault touches."""
        if fault.kind == EVERYTHING:
            return {*SERVICES, *self._cluster.components}
        if fault.kind == "clock":
            return set(SERVICES)
        alias: Mapping[str, str] = {"child": "worker", "helper": "worker", "one more": "worker", "one less": "worker"}
        if fault.kind == "receiver":
            return {"receiver"}
        return {alias.get(fault.target, fault.target)}

    def _strike(self, fault: Fault) -> Action:
        """Begin the fault and return what ends it."""
        target, cluster = fault.target, self._cluster
        match fault.kind:
            case "kill":
                return self._kill(target)
            case "freeze":
                frozen = cluster.family(target)
                cluster.send(frozen, signal.SIGSTOP)
                return lambda: cluster.send(frozen, signal.SIGCONT)
            case "stop" if target in cluster.components:
                cluster.stop_component(target)
                return lambda: cluster.start_component(target)
            case "stop":
                cluster.stop_service(target)
                return lambda: cluster.start_service(target)
            case "cut" | "stall" | "delay":
                return self._disturb(fault.kind, target)
            case "receiver":
                self._receiver.misbehave(target)
                return self._receiver.heal
            case "scale":
                return self._scale(target)
            case "clock":
                services = cluster.shims[shim.SERVICES]
                services.step_clock(STEP_S if target == "ahead" else -STEP_S)
                return services.heal
            case "disk full":
                return self._fill_disk(target)
            case _:
                assert fault.kind == EVERYTHING, f"no way to inject {fault.name}"
                return self._kill_everything()

    def _kill(self, target: str) -> Action:
        cluster = self._cluster
        if target == "child":
            cluster.send(cluster.family("worker")[1:], signal.SIGKILL)
            return lambda: None
        if target in cluster.components:
            cluster.send(cluster.family(target)[:1], signal.SIGKILL)
            return lambda: cluster.start_component(target)
        cluster.kill_service(target)
        return lambda: cluster.start_service(target)

    def _disturb(self, kind: str, target: str) -> Action:
        proxy = self._cluster.proxies[target]
        if kind == "cut":
            proxy.cut()
        elif kind == "stall":
            proxy.stall()
        else:
            proxy.delay(0.2)
        return proxy.heal

    def _fill_disk(self, target: str) -> Action:
        cluster = self._cluster
        cluster.shims[target].fill_disk()

        def heal() -> None:
            cluster.shims[target].heal()
            cluster.ensure_component(target)

        return heal

    def _scale(self, target: str) -> Action:
        cluster = self._cluster
        if target == "one more":
            cluster.start_service("extra")
            return lambda: cluster.stop_service("extra")
        cluster.stop_service("helper")
        return lambda: cluster.start_service("helper")

    def _kill_everything(self) -> Action:
        cluster = self._cluster
        for name in list(cluster.services):
            cluster.kill_service(name)
        for name in cluster.components:
            cluster.send(cluster.family(name)[:1], signal.SIGKILL)

        def up() -> None:
            in_parallel([partial(cluster.start_component, name) for name in cluster.components])
            for name in SERVICES:
                cluster.start_service(name)

        return up
