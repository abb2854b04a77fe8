"""Which stack a test run takes, and what is printed about it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest
from tests.harness import containers
from tests.harness.engine_api import VERSION, Engine, recorded_engine
from tests.harness.stack_choice import ADDRESSES, choose

GIVEN = dict.fromkeys(ADDRESSES, "somewhere")
MAY_HAVE_DOCKER = {"DOCKER_HOST": "tcp://127.0.0.1:1"}


def an_engine() -> str:
    return "28.5.2"


def no_engine() -> str:
    raise ConnectionError("refused")


@pytest.fixture
def silent_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port that accepts connections and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with recorded_engine({}) as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield engine


@pytest.mark.parametrize("environment", [GIVEN, {**GIVEN, "SLUICE_TEST_STACK": "docker"}])
def test_given_addresses_win(environment: dict[str, str]) -> None:
    assert choose(environment, no_engine).stack == "given"


def test_two_of_three_addresses_are_not_a_stack() -> None:
    assert choose({**GIVEN, "DATABASE_URL": "", "SLUICE_TEST_STACK": "local"}).stack == "local"


@pytest.mark.parametrize(("ask", "stack"), [(an_engine, "docker"), (no_engine, "local")])
def test_auto_takes_docker_where_an_engine_answers(ask: Callable[[], str], stack: str) -> None:
    assert choose(MAY_HAVE_DOCKER, ask).stack == stack
    assert choose({**MAY_HAVE_DOCKER, "SLUICE_TEST_STACK": "auto"}, ask).stack == stack


def test_local_asks_no_engine() -> None:
    assert choose({**MAY_HAVE_DOCKER, "SLUICE_TEST_STACK": "local"}, an_engine).stack == "local"


def test_docker_without_an_engine_ends_the_run_and_says_what_to_do() -> None:
    with pytest.raises(pytest.UsageError, match=r"no Docker engine answers: refused\. Start one, .*=local"):
        choose({"SLUICE_TEST_STACK": "docker"}, no_engine)


def test_an_unknown_stack_ends_the_run() -> None:
    with pytest.raises(pytest.UsageError, match=r"'podman'\. Set it to docker, local or auto"):
        choose({"SLUICE_TEST_STACK": "podman"}, an_engine)


def test_the_choice_is_printed_with_its_reason() -> None:
    assert str(choose(MAY_HAVE_DOCKER, an_engine)) == "test stack: docker (Docker engine 28.5.2 answers)"
    assert str(choose(MAY_HAVE_DOCKER, no_engine)) == "test stack: local (no Docker engine answers: refused)"
    assert str(choose({"SLUICE_TEST_STACK": "local"})) == "test stack: local (SLUICE_TEST_STACK=local)"


def test_a_worker_of_xdist_takes_the_choice_of_the_process_that_started_it(tmp_path: Path) -> None:
    parent = SimpleNamespace(stash=pytest.Stash())
    parent.stash[conftest.CHOICE] = choose(MAY_HAVE_DOCKER, an_engine)
    parent.stash[conftest.HOME] = tmp_path
    node = SimpleNamespace(config=parent, workerinput={})
    conftest.pytest_configure_node(node)
    worker: Any = SimpleNamespace(stash=pytest.Stash(), workerinput=node.workerinput)
    conftest.pytest_configure(worker)
    assert conftest.pytest_report_header(worker) == "test stack: docker (Docker engine 28.5.2 answers)"
    assert worker.stash[conftest.HOME] == tmp_path


def test_the_version_is_the_engines(engine: Engine) -> None:
    assert containers.engine_version() == VERSION["Version"]
    assert engine.unknown == []


@pytest.mark.usefixtures("silent_engine")
def test_an_engine_that_is_silent_counts_as_absent() -> None:
    with pytest.raises(ConnectionError, match="timed out"):
        containers.engine_version(patience_s=0.1)
