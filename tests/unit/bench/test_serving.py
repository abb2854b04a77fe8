"""The comparison with servers of models: equal vectors, ratios and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from bench.compare.figures import latency_of
from bench.serving import ServingRound, same, text


def visited(system: str, per_s: float, vectors: Sequence[Sequence[float]] = ((0.6, 0.8),)) -> ServingRound:
    return ServingRound(system, per_s, latency_of([20.0, 40.0]), latency_of([4.0]), vectors)


def test_vectors_are_the_same_but_for_rounding() -> None:
    assert same([[0.6, 0.8]], [[0.6000001, 0.8]])
    assert not same([[0.6, 0.8]], [[0.61, 0.8]])


def test_each_server_has_a_ratio_within_the_rounds() -> None:
    found = [visited("sluice", 100), visited("mosec", 400), visited("sluice", 300), visited("mosec", 600)]
    lines = text(found, {"LitServe": "it can't be imported"}).splitlines()
    assert lines[1].split("  ")[0] == "sluice"
    assert "200 (100–300)" in lines[1]
    assert "requests/s ÷ mosec: 0.375 (0.250–0.500)" in lines
    assert "NOT MEASURED: LitServe: it can't be imported" in lines
    assert not any("DIFFERS" in line for line in lines)


def test_a_system_with_other_vectors_is_named() -> None:
    found = [visited("sluice", 100), visited("mosec", 400, [[0.1, 0.8]])]
    assert "DIFFERS: mosec from sluice" in text(found, {}).splitlines()
