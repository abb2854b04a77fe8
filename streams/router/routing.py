"""Decides which jobs and parts of joins follow from a record. No I/O: `handler.py` publishes them.

An id is derived from the rule and from the upload or outcomes, so that routing a record twice makes one job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.errors import InvalidInput, UndecodableRecord
from schemas.plain import to_plain
from schemas.records import Result, Upload
from schemas.states import Disposition, Mode
from streams.client.job_options import JobOptions
from streams.router.joins import CaseKey, Joined, Part, Piece
from streams.router.matching import matches, one_of
from streams.router.rules import JoinRule, Rules, Submit, UploadRule, seconds
from streams.router.templates import drawn, filled, paths_of

#: Label of a routed job: the rule that submitted it.
RULE_LABEL = "sluice.rule"
#: Prefix of the labels that name a joined job's parts.
PART_LABEL = "sluice.part."


@dataclass(frozen=True, slots=True)
class RoutedJob:
    """A job to submit. `input` is checked against the processor's contract when it is encoded."""

    rule: str
    processor: str
    input: Mapping[str, Any]
    options: JobOptions


@dataclass(frozen=True, slots=True)
class NoJob:
    """A job that could not be made, and why."""

    rule: str
    error: InvalidInput


Made = RoutedJob | NoJob


class Routing:
    """The rules, prepared."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.joins = {join.name: join for join in rules.join}
        self._paths = {join.name: set[str]().union(*map(paths_of, join.submit)) for join in rules.join}

    def jobs_of_upload(self, upload: Upload, now: datetime | None = None) -> list[Made]:
        """Return a job for each `submit` of each rule that matches."""
        plain = to_plain(upload)
        made: list[Made] = []
        for rule in self.rules.upload:
            if matches(rule, plain) and one_of(rule.tenant, upload.tenant):
                made += [_of_upload(rule, submit, upload, plain, now or datetime.now(UTC)) for submit in rule.submit]
        return made

    def pieces_of_upload(self, upload: Upload) -> list[Piece]:
        """Return the parts of joins that an upload is. One without a case is none."""
        plain = to_plain(upload)
        order = (_sortable(upload.created_at), upload.upload_id, 0)
        return [
            piece
            for join, name in self._sources()
            if (conditions := join.of[name].upload) is not None
            and matches(conditions, plain)
            and (piece := self._piece(join, name, upload.tenant, upload.case_id, upload.upload_id, order, plain))
        ]

    def pieces_of_outcome(self, result: Result[Any]) -> list[Piece]:
        """Return the parts of joins that an outcome is: none unless the job is completed and has a case.

        A job that a rule submitted is no part of the same rule, or each join would start the next.
        """
        header, plain = result.header, to_plain(result)
        if result.result.disposition != Disposition.SUCCEEDED or header.mode == Mode.SHADOW:
            return []
        values = {"output": plain["output"], "header": plain["header"], "refs": plain["result"]["output_refs"]}
        order = (_sortable(header.created_at), header.job_id, header.run)
        id_ = f"{header.job_id}:{header.run}"
        return [
            piece
            for join, name in self._sources()
            if join.of[name].processor == header.processor
            and header.labels.get(RULE_LABEL) != join.name
            and (header.mode == Mode.LIVE or join.replays)
            and (piece := self._piece(join, name, header.tenant, header.case_id, id_, order, values))
        ]

    def jobs_of_join(self, case: CaseKey, joined: Joined, now: datetime | None = None) -> list[Made]:
        """Return a job for each `submit` of a join's rule."""
        rule = self.joins[case.rule]
        values: dict[str, Any] = {"case_id": case.case_id, "tenant": case.tenant}
        labels = {}
        for source, part in joined.parts.items():
            values |= part.values
            labels[PART_LABEL + source] = part.id
        carried: JobOptions = {"tenant": case.tenant, "case_id": case.case_id}
        at = now or datetime.now(UTC)
        return [_job(rule.name, submit, joined.key, values, carried, labels, at) for submit in rule.submit]

    def keep_s(self, rule: str) -> float:
        """Return how long a join keeps its parts, in seconds; 0 for a rule that is gone."""
        return seconds(self.joins[rule].within) if rule in self.joins else 0.0

    def _sources(self) -> Iterable[tuple[JoinRule, str]]:
        return ((join, name) for join in self.rules.join for name in join.of)

    def _piece(
        self,
        join: JoinRule,
        source: str,
        tenant: str,
        case_id: str | None,
        id_: str,
        order: tuple[str, str, int],
        data: Mapping[str, Any],
    ) -> Piece | None:
        if not case_id or not one_of(join.tenant, tenant):
            return None
        part = Part(id_, order, drawn(self._paths[join.name], source, data))
        return Piece(CaseKey(tenant, case_id, join.name), source, part)


def _of_upload(rule: UploadRule, submit: Submit, upload: Upload, plain: Mapping[str, Any], now: datetime) -> Made:
    values = {"tenant": upload.tenant, "case_id": upload.case_id} | drawn(paths_of(submit), "upload", plain)
    carried: JobOptions = {"tenant": upload.tenant, "case_id": upload.case_id, "upload_id": upload.upload_id}
    return _job(rule.name, submit, upload.upload_id, values, carried, {}, now)


def _job(
    rule: str,
    submit: Submit,
    cause: str,
    values: Mapping[str, Any],
    carried: JobOptions,
    labels: Mapping[str, str],
    now: datetime,
) -> Made:
    try:
        options: JobOptions = {
            **carried,
            "idempotency_key": idempotency_key(rule, submit.key, cause),
            "lane": submit.lane,
            "deadline": None if submit.deadline is None else now + timedelta(seconds=seconds(submit.deadline)),
            "labels": {**filled(submit.labels, values), **labels, RULE_LABEL: rule},
            "model_version": submit.model_version,
            "callback_profile": submit.callback_profile,
            "callback_url": filled(submit.callback_url, values),
            "order_key": filled(submit.order_key, values),
            "external_id": filled(submit.external_id, values),
            "soft_limit_ms": submit.soft_limit_ms,
            "hard_limit_ms": submit.hard_limit_ms,
        }
        if submit.max_attempts is not None:
            options["max_attempts"] = submit.max_attempts
        return RoutedJob(rule, submit.processor, filled(submit.input, values), options)
    except InvalidInput as error:
        return NoJob(rule, error)


def idempotency_key(rule: str, submit: str, cause: str) -> str:
    """Return the key of a routed job. `cause`: the upload's id, or the key of the joined parts. Tenant and processor are
    part of the job's id by themselves. An id of any length fits: its hash is taken."""
    return f"router/{rule}/{submit}/{hashlib.sha256(cause.encode()).hexdigest()[:32]}"


def _sortable(at: datetime) -> str:
    """Return a time as a text that sorts like it."""
    if at.tzinfo is None:
        raise UndecodableRecord("A time of the record has no time zone.")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
