"""Starts a segmentation of a series, and lists those that were started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.job_store import JobFilter
from connectors.views import JobStatus
from gateway.models import SubmitJob
from gateway.mri_polling.bodies import SERIES, bad_request, list_entry, threshold_of
from gateway.mri_polling.callers import Caller
from gateway.paging import cursor_of, place_of
from gateway.ports import Ports
from gateway.problems import Problem
from processors.mri_lab.contract import MRI_LAB
from schemas.states import TERMINAL, State

#: Seconds after which a client may start another one when too many are open.
RETRY_AFTER_S = 30.0


class MriRequests:
    """Jobs of `mri-lab` as the old system's requests. The job's `external_id` is the series."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._settings = ports.settings

    async def start(self, caller: Caller, series_id: str, body: Mapping[str, Any]) -> tuple[JobStatus, bool]:
        """Start a job for a series; return it, and False if the series has an open one, which is returned instead.

        The job's id is derived from the series and its last ended job, so two starts at the same moment are one job.
        Raises Problem, InvalidInput, Unreachable; Conflict for two such starts with different thresholds.
        """
        tenant = caller.tenant
        if not self._settings.use_local_inference:
            raise Problem(
                403,
                "LOCAL_INFERENCE_OFF",
                "Local inference is not enabled.",
                next_step="Set USE_LOCAL_INFERENCE=true for the gateway.",
            )
        if tenant is None or SERIES.fullmatch(series_id) is None:
            raise bad_request("The series id is neither one of Orthanc nor a SeriesInstanceUID.")
        input_ = {"series_id": series_id, "threshold": threshold_of(body)}
        wanted = JobFilter(tenant, processor=MRI_LAB.name, external_id=series_id)
        last = next(iter(await self._ports.reader.statuses(wanted, 1)), None)
        if last is not None and State(last.state) not in TERMINAL:
            return last, False
        self._check_open(tenant)
        job = SubmitJob(processor=MRI_LAB.name, input=input_, external_id=series_id)
        key = f"mri/{series_id}/{'' if last is None else last.job_id}"
        status, new, _ = await self._ports.door.submit(tenant, job, key)
        return status, new

    async def listed(self, caller: Caller, limit: int, cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of requests, newest first, and the cursor of the next page; None at the end."""
        wanted = JobFilter(caller.tenant, processor=MRI_LAB.name)
        found = await self._ports.reader.statuses(wanted, limit + 1, place_of(cursor))
        page = found[:limit]
        following = cursor_of(page[-1].created_at, page[-1].job_id) if len(found) > limit else None
        return [list_entry(job, self._settings.gateway_mri_names) for job in page], following

    def _check_open(self, tenant: str) -> None:
        """Refuse a start while as many requests are open as may be, by a count that is up to a second old."""
        most = self._settings.gateway_mri_open
        if sum(self._ports.admission.queues.open(tenant, MRI_LAB.name).values()) >= most:
            raise Problem(
                429,
                "TOO_MANY_REQUESTS",
                f"{most} segmentations are open, as many as may be.",
                next_step="Start it when some have ended, or raise SLUICE_GATEWAY_MRI_OPEN.",
                retry_after_s=RETRY_AFTER_S,
            )
