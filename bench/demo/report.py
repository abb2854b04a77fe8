"""Collects what happened to every job of the demonstration, and checks it against what sluice guarantees."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.demo.plan import Plan
from bench.receiver import ReceivedCallback, Receiver
from bench.stats import percentile
from connectors.job_store import JobStore
from schemas.records import Claim
from streams import wiring
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class VolumeReport:
    """The result of one volume. `dice` compares its mask with the lesions it was made with; None if there is no mask."""

    job_id: str
    state: str
    error: str | None
    lesion_ml: float
    found_ml: float | None
    dice: float | None
    seconds: float
    result_at: str
    mask_uri: str


@dataclass(frozen=True, slots=True)
class Report:
    """The report of `sluice demo --json`.

    `light_ms`: milliseconds from submit to callback of the light jobs, by percentile. `callbacks`: one example per kind of job.
    `violations`: each way in which a guarantee did not hold; empty if all is well.
    """

    states: dict[str, int]
    volumes: list[VolumeReport]
    light_ms: dict[str, float]
    callbacks: list[dict[str, Any]]
    deliveries: int
    requests: int
    picture: str
    violations: list[str]


def collect(settings: Settings, plan: Plan, receiver: Receiver, picture: Path) -> Report:
    """Read rows, masks and callbacks; draws the largest lesion into `picture`."""
    by_job = {callback.event()["data"]["job_id"]: callback for callback in receiver.callbacks}
    with wiring.job_store(settings) as store:
        states = dict(store.counts(batch_id=plan.batch_id))
        volumes = [_volume(settings, store, plan, job, by_job.get(job)) for job in plan.volumes]
    times = [(by_job[job].at - plan.submitted_at[job]) * 1000 for job in plan.light if job in by_job]
    return Report(
        states=states,
        volumes=volumes,
        light_ms={f"p{p}": percentile(times, p) for p in (50, 90, 99)} if times else {},
        callbacks=_examples(plan, by_job),
        deliveries=len(receiver.ids),
        requests=receiver.requests,
        picture=_picture(settings, plan, volumes, picture),
        violations=_violations(plan, states, receiver, volumes),
    )


def _volume(
    settings: Settings, store: JobStore, plan: Plan, job_id: str, callback: ReceivedCallback | None
) -> VolumeReport:
    from processors.segmentation.samples import dice

    sample, view = plan.volumes[job_id], store.job(job_id)
    output: dict[str, Any] = (view.output if view else None) or {}
    result = view.result if view else None
    mask = _fetch_mask(settings, job_id, output)
    return VolumeReport(
        job_id=job_id,
        state=view.state if view else "unknown",
        error=view.error.code if view and view.error else None,
        lesion_ml=sample.lesion_ml,
        found_ml=output["lesion_volume_mm3"] / 1000 if output else None,
        dice=dice(mask, sample.truth_path) if mask else None,
        seconds=callback.at - plan.submitted_at[job_id] if callback else float("nan"),
        result_at=f"{result.topic}:{result.partition}:{result.offset}" if result else "",
        mask_uri=output.get("mask", {}).get("uri", ""),
    )


def _fetch_mask(settings: Settings, job_id: str, output: dict[str, Any]) -> Path | None:
    if not output:
        return None
    target = settings.home / "demo" / "masks" / f"{job_id}.nii.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    return wiring.object_store(settings).fetch(Claim(**output["mask"]), target)


def _examples(plan: Plan, by_job: dict[str, ReceivedCallback]) -> list[dict[str, Any]]:
    """Return one callback body per kind of job, as the backend received it."""
    first = [next((job for job in jobs if job in by_job), None) for jobs in (plan.volumes, plan.light)]
    return [json.loads(by_job[job].body) for job in first if job is not None]


def _picture(settings: Settings, plan: Plan, volumes: list[VolumeReport], picture: Path) -> str:
    from processors.segmentation.samples import render

    done = [volume for volume in volumes if volume.dice is not None]
    if not done:
        return ""
    largest = max(done, key=lambda volume: volume.lesion_ml)
    sample = plan.volumes[largest.job_id]
    render(sample.path, settings.home / "demo" / "masks" / f"{largest.job_id}.nii.gz", sample.truth_path, picture)
    return str(picture)


def _violations(plan: Plan, states: dict[str, int], receiver: Receiver, volumes: list[VolumeReport]) -> list[str]:
    found = []
    if sum(states.values()) != plan.jobs:
        found.append(f"{plan.jobs} jobs were submitted, but Postgres has {sum(states.values())} rows")
    if states.get("COMPLETED") != plan.jobs:
        found.append(f"not every job is COMPLETED: {states}")
    counts = Counter(callback.event()["data"]["job_id"] for callback in receiver.callbacks)
    if twice := [job for job, count in counts.items() if count > 1]:
        found.append(f"{len(twice)} jobs had more than one callback, for example {twice[0]}")
    if missing := [job for job in plan.submitted_at if job not in counts]:
        found.append(f"{len(missing)} jobs had no callback, for example {missing[0]}")
    if bad := [volume for volume in volumes if volume.dice is None]:
        found.append(f"{len(bad)} volumes have no mask: {bad[0].error}")
    return found
