"""The cases of `python -m bench.device`: names, and a network that says the same in every process and batch."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from bench.device import CASES, CUDA_CASES, DEVICES
from bench.device_networks import SmallNetwork
from processors.local import LocalLoadContext


def test_every_case_has_a_device_and_a_name_of_its_own() -> None:
    cases = [*CASES, *CUDA_CASES]
    assert {case.device for case in cases} == DEVICES.keys()
    assert len({case.name for case in cases}) == len(cases)
    assert [case.name for case in cases if case.place != "cpu"][:2] == ["deep cuda:0", "deep cuda:0 threads=1"]


@pytest.fixture
def network() -> SmallNetwork:
    made = SmallNetwork()
    made.load(LocalLoadContext(SmallNetwork))
    return made


def test_a_network_answers_the_same_whatever_batch_an_image_is_in(network: SmallNetwork) -> None:
    again = SmallNetwork()
    again.load(LocalLoadContext(SmallNetwork))
    values = np.random.default_rng(1).random((5, SmallNetwork.message_bytes), dtype=np.float32)
    together = network.run(list(values))
    assert together == [again.run([value])[0] for value in values]
    assert all(0 <= cast(Any, found) < 1000 for found in together)
