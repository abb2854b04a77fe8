"""The stack that tests run against: addresses from the environment, else containers, else a local stack of this session's own.

`tests/harness/stack_choice.py` chooses. A missing broker fails the run; nothing is skipped. Every test that takes `settings`
gets topics under a prefix of its own and a database of its own, so tests share only the processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from streams import logs
from streams.settings import Settings
from tests.harness.stack_choice import ADDRESSES, StackChoice, choose

# A busy machine is no fault of the code: no test is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

CHOICE = pytest.StashKey[StackChoice]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the stack once: a worker of xdist gets the choice of the process that started it."""
    given = getattr(config, "workerinput", {}).get("stack")
    config.stash[CHOICE] = StackChoice(**given) if given else choose(os.environ)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["stack"] = node.config.stash[CHOICE].as_dict()


def pytest_report_header(config: pytest.Config) -> str:
    return str(config.stash[CHOICE])


@pytest.fixture(autouse=True)
def logging_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin with the same logging: a logger that is cached keeps the level and outputs of an earlier test."""
    configure = structlog.configure
    monkeypatch.setattr(
        structlog, "configure", lambda **options: configure(**options | {"cache_logger_on_first_use": False})
    )
    structlog.contextvars.clear_contextvars()
    logs.configure("info", "json")


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the addresses of a running Kafka, registry and Postgres, by the names of the environment variables."""
    with STACKS[pytestconfig.stash[CHOICE].stack](tmp_path_factory) as addresses:
        yield addresses


@contextmanager
def given(_: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    yield {name: os.environ[name] for name in ADDRESSES}


@contextmanager
def containers(_: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    from tests.harness.containers import container_stack

    with container_stack() as addresses:
        yield addresses


@contextmanager
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    from streams.stack import LocalStack

    stack = LocalStack(tmp_path_factory.mktemp("stack"))
    try:
        yield stack.up().env()
    finally:
        stack.down()


STACKS = {"given": given, "docker": containers, "local": local}


@pytest.fixture
def settings(stack: dict[str, str], tmp_path: Path) -> Iterator[Settings]:
    """Yield settings of an installation of this test's own: topics made, schemas registered, tables migrated."""
    from tests.harness.installation import installation

    with installation(stack, tmp_path / "home") as made:
        yield made
