"""Builds what runs jobs from a loaded processor, in the child and in its helpers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from processors.code_version import code_version
from processors.policy import Order, Policy
from schemas.avsc import request_schema, result_schema
from schemas.contract import contract
from schemas.splice import HeaderSplice
from schemas.topics import TopicNames
from streams import wiring
from streams.settings import Settings
from streams.worker.child.context import Reports
from streams.worker.child.decode import RequestDecoder
from streams.worker.child.helper_messages import ModelFacts
from streams.worker.child.job_runner import JobRunner
from streams.worker.child.loader import Loaded
from streams.worker.child.results import ResultWriter
from streams.worker.child.retry import RetryDecider
from streams.worker.child.versions import Model, ModelVersions, capped
from streams.worker.protocol import ChildConfig

if TYPE_CHECKING:
    from schemas.codec import Codec
    from streams.worker.child.memo import Memo


def build_job_runner(
    config: ChildConfig,
    settings: Settings,
    loaded: list[Loaded],
    reports: Reports,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    facts: list[ModelFacts] | None = None,
) -> JobRunner:
    """Build everything that the jobs of one processor need. `now` is compared with deadlines. `facts`: of each loaded version,
    as the child's process knows them, in a helper process."""
    made, names = contract(config.processor), TopicNames(settings.topic_prefix)
    codec = wiring.codec(settings, config.schema_ids)
    requests, results = request_schema(made), result_schema(made)
    request = codec.encoder(f"{names.requests(made.name)}-value", requests)
    result = codec.encoder(f"{names.results(made.name)}-value", results)
    splice = HeaderSplice(request, requests, result, results)

    def model(version_: Loaded, about: ModelFacts) -> Model:
        processor = version_.processor
        writer = ResultWriter(
            result,
            splice,
            RetryDecider(processor.policy),
            worker_id=config.worker_id,
            device=about.device,
            device_note=about.device_note,
            model_version=processor.version,
            model_sha256=about.model_sha256,
            code_version=code_version(type(processor)),
            topics=tuple((name, topic_id) for name, topic_id in config.topics),
        )
        policy = capped(processor.policy, settings.max_batch)
        return Model(processor, policy, writer, _memo(settings, policy, codec, writer, made.name))

    known = facts or facts_of(loaded)
    made_models = [model(version_, about) for version_, about in zip(loaded, known, strict=True)]
    models = ModelVersions(made_models, settings.rollouts.get(config.processor))
    ordered = models.default.policy.order is not Order.NONE
    decoder = RequestDecoder(
        codec, made, request, splice, models.default.writer, writer_of=models.writer_of, ordered=ordered, now=now
    )
    files = wiring.job_files(settings, config.worker_id)
    return JobRunner(models, decoder, files, Path(config.scratch), reports, helper=facts is not None)


def facts_of(loaded: list[Loaded]) -> list[ModelFacts]:
    """Return what each result of these versions names."""
    return [
        ModelFacts(each.context.picked.name, each.context.picked.fallback, each.processor.model_sha256 or None)
        for each in loaded
    ]


def _memo(settings: Settings, policy: Policy, codec: Codec, writer: ResultWriter, processor: str) -> Memo | None:
    if not policy.memoize or not settings.memo_days:
        return None
    from streams.worker.child.memo import Memo

    return Memo(codec, writer, processor, settings.memo_days)
