"""A program that forks after it has made a client: the child gets one of its own, or an error that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from schemas.errors import UsageError
from schemas.records import ECHO
from streams.client.commands import CommandClient
from streams.client.outcomes import OutcomeWaiter
from streams.client.submitter import Submitter
from streams.testing import Flow

#: Exits as a gunicorn worker does: the interpreter frees what it holds, without a broker anywhere.
EXITING = """
import os, sys
from streams.client.forks import ForkGuard
from confluent_kafka import Consumer, Producer
address = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
guards = [ForkGuard(Producer(address)), ForkGuard(Consumer(address | {"group.id": "g"}))]
if (child := os.fork()) == 0:
    guards.clear()
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
"""


@pytest.fixture
def flow() -> Iterator[Flow]:
    with Flow("echo") as made:
        yield made


def fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process count as a forked child from now on."""
    child = os.getpid() + 1
    monkeypatch.setattr("streams.client.forks.os.getpid", lambda: child)


def test_a_submitter_gets_clients_of_its_own_in_a_forked_child(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    submitter = Submitter(flow.settings)
    submitter.submit_nowait("echo", {"message": "the parent's"})
    before = submitter._connected
    fork(monkeypatch)
    accepted = submitter.submit("echo", {"message": "hi"})
    submitter.flush()
    assert submitter._connected.client is not before.client
    flow.settle()
    assert accepted.job_id in {outcome.header.job_id for outcome in flow.outcomes("echo")}


def test_a_forked_child_that_submits_nothing_leaves_the_parents_clients_alone(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Submitter(flow.settings) as submitter:
        before = submitter._connected
        fork(monkeypatch)
    assert submitter._connected is before


def test_commands_and_outcomes_say_that_they_were_made_before_a_fork(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands, waiter = CommandClient(flow.settings), OutcomeWaiter(flow.settings, ECHO)
    fork(monkeypatch)
    with pytest.raises(UsageError, match="CommandClient was made before a fork"):
        commands.pause("echo")
    with pytest.raises(UsageError, match="OutcomeWaiter was made before a fork"):
        list(waiter.wait(["x"], 0.1))


def test_a_forked_child_exits_cleanly_though_it_inherits_clients() -> None:
    done = subprocess.run([sys.executable, "-c", EXITING], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "7", done.stderr
