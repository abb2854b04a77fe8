"""CPU time and memory of the stack's processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from streams.stack.state import ComponentState, StackState
from streams.stack.usage import NONE, machine_cpu_s, usage_by_process, usage_of, usage_of_tree

#: A process with a child, both of which burn CPU before they say so.
BURNING = """
import subprocess, sys
burn = "sum(i * i for i in range(2_000_000)); print(flush=True); sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", "import sys; " + burn], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
child.stdout.readline()
exec(burn)
child.stdin.close()
child.wait()
"""


def state(name: str, pid: int | None, running: bool = True) -> ComponentState:
    return ComponentState(name, running, Path("log"), pid)


def test_a_process_has_used_cpu_and_memory() -> None:
    used = usage_of(os.getpid())
    assert used.cpu_s > 0.0
    assert used.rss > 1_000_000


def test_a_services_children_are_counted_apart_and_those_of_postgres_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", BURNING], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        one = usage_by_process(StackState((), (state("worker-echo", process.pid),)))
        both = usage_by_process(StackState((state("postgres", process.pid),)))
        process.communicate(b"")
    assert one["worker-echo"].cpu_s > 0.0
    assert one["worker-echo child"].cpu_s > 0.0
    assert set(one) == {"worker-echo", "worker-echo child"}
    assert set(both) == {"postgres"}
    assert both["postgres"].cpu_s >= one["worker-echo"].cpu_s + one["worker-echo child"].cpu_s


def test_a_process_that_has_ended_has_used_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert usage_of(process.pid) == NONE
    assert usage_by_process(StackState((state("kafka", process.pid, running=False), state("registry", None)))) == {}


def test_a_tree_counts_its_children_those_that_have_ended_too() -> None:
    ended = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(i * i for i in range(3_000_000))']);"
    with subprocess.Popen(
        [sys.executable, "-c", ended + "print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        alone, tree = usage_of(process.pid), usage_of_tree(process.pid)
        process.communicate(b"")
    assert tree.cpu_s > alone.cpu_s + 0.05
    assert tree.rss >= alone.rss > 0


def test_the_machine_has_used_at_least_what_this_process_has() -> None:
    assert machine_cpu_s() >= usage_of(os.getpid()).cpu_s > 0
