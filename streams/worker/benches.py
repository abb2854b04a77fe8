"""Which bench a processor gets."""

from __future__ import annotations

from streams.worker.bench import Bench, Outbox
from streams.worker.inline import InlineBench, SortingBench
from streams.worker.overlap import OverlappingBench
from streams.worker.workshop import Workshop


def bench_for(shop: Workshop, outbox: Outbox) -> Bench:
    """With CPU threads where its policy asks for them; else one that prepares first only if batches depend on it."""
    if shop.models.default.policy.threads:
        return OverlappingBench(shop, outbox)
    return SortingBench(shop, outbox) if shop.models.sort else InlineBench(shop, outbox)
