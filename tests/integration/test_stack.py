"""The local stack with its real components: it starts, recovers, and leaves nothing behind.

The tests that share `stack` run in this order on one running stack: starting three programs for each would take minutes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from schemas.errors import StartupError
from streams.settings import Settings
from streams.stack import COMPONENTS, EventKind, LocalStack, ServiceSpec, StackEvent, StackState, ports, process
from streams.stack.services import supervisor
from tests.harness.kept_data import SCHEMA, consume, produce, register, rows, schema_of
from tests.harness.waiting import wait_until

# Does the same as `sluice up`, in a process that can be interrupted; prints each event at once.
UP = """
import sys
from pathlib import Path
from streams.stack import LocalStack
LocalStack(Path(sys.argv[1])).up(sys.argv[2:], on_event=lambda event: print(event.kind, event.component, flush=True))
"""


class Stack:
    """A local stack and the events of its last `up`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.local = LocalStack(home)
        self.events: list[StackEvent] = []

    def up(self, *components: str) -> StackState:
        self.events.clear()
        return self.local.up(components or tuple(COMPONENTS), self.events.append)

    def reported(self, kind: EventKind) -> set[str]:
        return {event.component for event in self.events if event.kind is kind}

    def processes(self) -> list[process.ProcessId]:
        """Every running process that a stack in this home has started."""
        marked = process.carriers(f"={(self.home / 'run').resolve()}#")
        return marked + process.working_in(self.home / "postgres" / "data")


def default_ports() -> list[int]:
    return [port for component in COMPONENTS.values() for port in component.ports.values()]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack on other ports than the default ones, which are in use."""
    running = Stack(tmp_path_factory.mktemp("stack") / ".sluice")
    with ExitStack() as others:
        for port in filter(ports.free, default_ports()):
            others.enter_context(socket.create_server((ports.HOST, port)))
        try:
            running.up()
            yield running
        finally:
            running.local.down()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / ".sluice")
    yield made
    made.local.down()


def moved(before: StackState, after: StackState) -> set[str]:
    """Components whose address changed: none, unless another process took a port while it was free."""
    return {
        component.name
        for component in before.components
        if after.component(component.name).address != component.address
    }


@pytest.fixture(scope="module")
def kept(stack: Stack) -> int:
    """A record, a schema and a row in the running stack; the value is the schema's id."""
    env = stack.local.status().env()
    produce(env["KAFKA_BOOTSTRAP_SERVERS"])
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE kept (what text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")
    return register(env["SCHEMA_REGISTRY_URL"])


def assert_kept(state: StackState, schema_id: int) -> None:
    env = state.env()
    assert consume(env["KAFKA_BOOTSTRAP_SERVERS"]) == b"still here"
    assert schema_of(env["SCHEMA_REGISTRY_URL"], schema_id) == json.loads(SCHEMA)
    assert rows(env["DATABASE_URL"]) == [("still here",)]


def test_a_port_in_use_is_replaced_and_reported(stack: Stack) -> None:
    state = stack.local.status()
    assert state.running
    assert stack.reported(EventKind.PORT) == stack.reported(EventKind.READY) == set(COMPONENTS)
    assert {component.port for component in state.components}.isdisjoint(default_ports())


def test_settings_find_the_stack_and_other_users_do_not_find_the_password(stack: Stack) -> None:
    addresses = stack.home / "stack-env.json"
    assert json.loads(addresses.read_text()) == stack.local.status().env()
    assert addresses.stat().st_mode & 0o077 == 0
    assert "postgresql://" not in repr(stack.local.status())
    assert all("postgresql://" not in event.message for event in stack.events)


def test_the_database_refuses_a_wrong_password(stack: Stack) -> None:
    dsn = stack.local.status().env()["DATABASE_URL"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn, password="guessed")


def test_the_folders_above_the_data_stay_as_closed_as_they_were(stack: Stack) -> None:
    assert stack.home.parent.stat().st_mode & 0o077 == 0


def test_a_misspelt_topic_is_not_created(stack: Stack) -> None:
    admin = AdminClient({"bootstrap.servers": stack.local.status().env()["KAFKA_BOOTSTRAP_SERVERS"]})
    admin.list_topics("requets.echo", timeout=20)
    assert "requets.echo" not in admin.list_topics(timeout=20).topics


def test_a_second_up_is_harmless(stack: Stack) -> None:
    before = stack.local.status()
    after = stack.up()
    assert [component.pid for component in after.components] == [component.pid for component in before.components]
    assert stack.reported(EventKind.REUSED) == set(COMPONENTS)
    assert stack.reported(EventKind.STARTING) == set()


def test_up_recovers_after_a_kill_of_every_component(stack: Stack, kept: int) -> None:
    before = stack.local.status()
    for component in before.components:
        assert component.pid is not None
        os.kill(component.pid, signal.SIGKILL)
    after = stack.up()
    assert sorted(event.component for event in stack.events if event.kind is EventKind.RECOVERED) == sorted(COMPONENTS)
    assert moved(before, after) == stack.reported(EventKind.PORT)
    assert_kept(after, kept)


def test_the_supervisor_starts_a_killed_component_again_and_a_new_up_brings_a_killed_supervisor_back(
    stack: Stack, kept: int
) -> None:
    before = stack.local.run([supervisor(Settings(home=stack.home), stack.local)])
    killed = kill(stack, "postgres")
    wait_until(lambda: pid_of(stack, "postgres") not in (None, killed), lambda: f"{stack.local.status()}")
    after = stack.up()  # waits until what the supervisor started is ready, and starts none a second time
    assert stack.reported(EventKind.STARTING) == set()
    assert moved(before, after) == set()
    assert_kept(after, kept)
    kill(stack, "supervisor")
    wait_until(lambda: pid_of(stack, "supervisor") is None, lambda: "it lives")
    stack.local.run([supervisor(Settings(home=stack.home), stack.local)])
    assert pid_of(stack, "supervisor") is not None
    stack.local.down(names=["supervisor"])


def kill(stack: Stack, name: str) -> int:
    pid = pid_of(stack, name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def pid_of(stack: Stack, name: str) -> int | None:
    return stack.local.status().component(name).pid


def test_a_service_runs_beside_the_components(stack: Stack, tmp_path: Path) -> None:
    code = "print('at work', flush=True)\nimport signal; signal.pause()"
    log = tmp_path / "timekeeper.log"
    service = ServiceSpec(
        name="timekeeper",
        argv=(sys.executable, "-c", code),
        log=log,
        env={},
        ready=lambda: "at work" in log.read_text(),
    )
    state = stack.local.run([service])
    assert state.component("timekeeper").running
    assert stack.local.run([service]).component("timekeeper").pid == state.component("timekeeper").pid


def test_down_stops_services_and_components_and_up_finds_the_data_again(stack: Stack, kept: int) -> None:
    before = stack.local.status()
    assert set(stack.local.down()) == {*COMPONENTS, "timekeeper"}
    assert stack.processes() == []
    assert stack.local.status().env() == {}
    assert not (stack.home / "stack-env.json").exists()
    after = stack.up()
    assert moved(before, after) == stack.reported(EventKind.PORT)
    assert_kept(after, kept)


def test_down_with_nothing_running_is_harmless(fresh: Stack) -> None:
    assert fresh.local.down() == []


def test_a_component_that_can_not_start_stops_the_others_and_its_log_is_shown(fresh: Stack) -> None:
    data = fresh.home / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=99\n")
    with pytest.raises(StartupError, match="kafka ended while starting") as caught:
        fresh.up()
    assert "99" in str(caught.value.next_step)
    assert fresh.processes() == []


def test_only_processes_that_the_failed_call_started_are_stopped(fresh: Stack) -> None:
    fresh.up("postgres")
    broken = ServiceSpec(
        name="sink", argv=(sys.executable, "-c", "1/0"), log=fresh.home / "sink.log", env={}, ready=lambda: False
    )
    with pytest.raises(StartupError, match="sink ended while starting"):
        fresh.local.run([broken])
    assert fresh.local.status().component("postgres").running


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_an_interrupted_up_leaves_nothing_running(fresh: Stack, number: signal.Signals, status: int) -> None:
    with started(fresh, "postgres", "kafka") as up:
        wait_for_lines(up, ["ready postgres", "starting kafka"])
        up.send_signal(number)
        printed, errors = up.communicate(timeout=60)
    assert up.returncode == status
    assert fresh.processes() == []
    assert ("KeyboardInterrupt" in errors) == (number is signal.SIGINT)
    assert "ready kafka" not in printed


def test_two_ups_at_once_start_one_stack(fresh: Stack) -> None:
    with started(fresh, "postgres") as one, started(fresh, "postgres") as two:
        printed = [each.communicate(timeout=60)[0] for each in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0)
    assert sorted("ready postgres" in output for output in printed) == [False, True]
    assert sorted("reused postgres" in output for output in printed) == [False, True]


def test_up_recovers_from_an_up_that_was_killed(fresh: Stack) -> None:
    with started(fresh, "postgres", "kafka") as up:
        wait_for_lines(up, ["ready postgres", "starting kafka"])
        up.kill()
    state = fresh.up("postgres", "kafka")
    assert state.component("postgres").running
    assert state.component("kafka").running
    fresh.local.down()
    assert fresh.processes() == []


def started(stack: Stack, *components: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", UP, str(stack.home), *components],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_lines(program: subprocess.Popen[str], wanted: Sequence[str]) -> None:
    assert program.stdout is not None
    assert program.stderr is not None
    left = set(wanted)
    while left:
        line = program.stdout.readline()
        assert line, f"it ended before it printed {left}: {program.stderr.read()}"
        left.discard(line.strip())
