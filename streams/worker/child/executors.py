"""Which bench a processor gets."""

from __future__ import annotations

from streams.worker.child.executor import BatchExecutor, ParentChannel
from streams.worker.child.inline import InlineExecutor, PreparedExecutor
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.pipelined import PipelinedExecutor


def bench_for(shop: JobRunner, outbox: ParentChannel) -> BatchExecutor:
    """With CPU threads where its policy asks for them; else one that prepares first only if batches depend on it."""
    if shop.models.default.policy.threads:
        return PipelinedExecutor(shop, outbox)
    return PreparedExecutor(shop, outbox) if shop.models.sort else InlineExecutor(shop, outbox)
