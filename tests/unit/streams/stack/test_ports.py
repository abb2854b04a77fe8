"""A component gets the same port again if it is free, else another one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from streams.stack.ports import HOST, PortAllocations, answered, candidates, free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def vacant() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_with_a_listener_is_not_free(taken: int) -> None:
    assert not free(taken)


def test_a_port_is_answered_while_a_process_listens(taken: int, vacant: int) -> None:
    assert answered(taken)
    assert not answered(vacant)


def test_a_port_is_free_again_once_its_server_has_stopped(vacant: int) -> None:
    assert free(vacant)


def test_a_server_on_every_address_takes_the_port_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not free(server.getsockname()[1])


def test_a_port_in_use_is_replaced_by_one_that_is_easy_to_recognise() -> None:
    assert list(islice(candidates(9092), 3)) == [9092, 19092, 29092]


def test_a_free_default_port_is_assigned(tmp_path: Path, vacant: int) -> None:
    assert PortAllocations(tmp_path / "ports.json").assign("kafka", vacant) == vacant


def test_a_default_port_in_use_is_not_assigned(tmp_path: Path, taken: int) -> None:
    assigned = PortAllocations(tmp_path / "ports.json").assign("kafka", taken)
    assert assigned != taken
    assert free(assigned)


def test_a_port_once_assigned_is_assigned_again_even_if_the_default_is_free_now(tmp_path: Path, vacant: int) -> None:
    path = tmp_path / "ports.json"
    with socket.create_server((HOST, vacant)):
        first = PortAllocations(path).assign("kafka", vacant)
    assert free(vacant)
    assert PortAllocations(path).assign("kafka", vacant) == first != vacant


def test_two_names_never_share_a_port(tmp_path: Path, vacant: int) -> None:
    book = PortAllocations(tmp_path / "ports.json")
    assert book.assign("kafka", vacant) != book.assign("kafka-controller", vacant)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kafka": "x"}'])
def test_a_broken_port_file_counts_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ports.json"
    path.write_text(content)
    assert PortAllocations(path).recorded() == {}
