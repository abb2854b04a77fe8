"""The stack that tests run against: addresses from the environment, else containers, else a local stack of this session's own.

`tests/harness/stack_choice.py` chooses. A missing broker fails the run; nothing is skipped. Every test that takes `settings`
gets topics under a prefix of its own and a database of its own, so tests share only the processes, also between workers of
xdist: starting a stack costs ten seconds of a core, and a broker is faster once it has run for a while.
"""

from __future__ import annotations

import os
import shutil
import tempfile
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

TESTS = Path(__file__).parent
CHOICE = pytest.StashKey[StackChoice]()
#: The folder of the local stack, which the first test that needs it starts.
HOME = pytest.StashKey[Path]()
FAILED = pytest.StashKey[bool]()

#: The first of these are the longest, so no test process is left with a long file while the others have nothing to do.
FOLDERS = ("faults", "integration", "injection", "contract", "unit")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the stack once: a worker of xdist gets the choice of the process that started it."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    config.stash[CHOICE] = StackChoice(**given["stack"]) if given else choose(os.environ)
    config.stash[HOME] = Path(given["stack_home"] if given else tempfile.mkdtemp(prefix="sluice-test-stack-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["stack"] = node.config.stash[CHOICE].as_dict()
    node.workerinput["stack_home"] = str(node.config.stash[HOME])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files for the workers of xdist, which take them in this order (`--no-loadscope-reorder`)."""
    items.sort(
        key=lambda item: FOLDERS.index(folder) if (folder := item.path.parts[len(TESTS.parts)]) in FOLDERS else -1
    )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[FAILED] = exitstatus != 0


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the local stack, in the process that started the others. Its logs are kept if a test has failed."""
    if hasattr(config, "workerinput"):
        return
    home = config.stash[HOME]
    if any(home.iterdir()):
        from streams.stack import LocalStack

        LocalStack(home).down()
    if not config.stash.get(FAILED, True) or not any(home.iterdir()):
        shutil.rmtree(home)
    else:
        print(f"The logs of the test stack are in {home / 'logs'}")


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
def stack(pytestconfig: pytest.Config) -> Iterator[dict[str, str]]:
    """Yield the addresses of a running Kafka, registry and Postgres, by the names of the environment variables."""
    with STACKS[pytestconfig.stash[CHOICE].stack](pytestconfig.stash[HOME]) as addresses:
        yield addresses


@contextmanager
def given(_: Path) -> Iterator[dict[str, str]]:
    yield {name: os.environ[name] for name in ADDRESSES}


@contextmanager
def containers(_: Path) -> Iterator[dict[str, str]]:
    from tests.harness.containers import container_stack

    with container_stack() as addresses:
        yield addresses


@contextmanager
def local(home: Path) -> Iterator[dict[str, str]]:
    """Start the stack, or take the one that another worker has started."""
    from streams.stack import LocalStack
    from tests.harness.databases import without_fsync

    addresses = LocalStack(home).up().env()
    without_fsync(addresses["DATABASE_URL"])
    yield addresses


STACKS = {"given": given, "docker": containers, "local": local}


@pytest.fixture
def settings(stack: dict[str, str], tmp_path: Path) -> Iterator[Settings]:
    """Yield settings of an installation of this test's own: topics made, schemas registered, tables migrated."""
    from tests.harness.installation import installation

    with installation(stack, tmp_path / "home") as made:
        yield made
