"""References to files, and erasures, in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

from connectors.memory.database import MemoryStore
from connectors.memory.tables import OPEN, StoredJob
from connectors.retention_store import CaseRows, Erasure, case_sha256

_CONTENT = re.compile(rb"sha256/[0-9a-f]{2}/([0-9a-f]{64})")


class MemoryRetentionStore(MemoryStore):
    """Implements `connectors.retention_store.RetentionStore`."""

    def references(self) -> set[str]:
        with self._db.reading():
            jobs = {key[0] for key in (*self._db.outcomes, *self._db.payloads)}
            return {row.upload.claim.sha256 for row in self._db.uploads.values()} | self._contents(jobs)

    def unfinished(self, upload_ids: Iterable[str]) -> set[str]:
        with self._db.reading():
            return set(upload_ids) & self._db.partial_uploads.keys()

    def known_inputs(self, inputs: Iterable[str]) -> set[tuple[str, str]]:
        with self._db.reading():
            wanted, db = set(inputs), self._db
            pairs = {(job.tenant, job.input_sha256) for job in db.jobs.values()}
            edited = [each for each in db.outcomes.values() if each.input_sha256 and each.job_id in db.jobs]
            pairs |= {(db.jobs[each.job_id].tenant, each.input_sha256 or "") for each in edited}
            return {pair for pair in pairs if pair[1] in wanted}

    def case(self, tenant: str, case_id: str) -> CaseRows:
        with self._db.reading():
            jobs = {job.job_id for job in self._jobs(tenant, case_id)}
            uploads = self._uploads(tenant, case_id)
            partial = self._partial(tenant, case_id)
            return CaseRows(
                sorted(_text(job_id) for job_id in jobs),
                sorted(
                    (_text(r.job_id), r.run) for r in self._db.runs.values() if r.job_id in jobs and r.state in OPEN
                ),
                sorted(uploads),
                sum(row.job_id in jobs and row.destination != "" for row in self._db.deliveries.values()),
                {self._db.uploads[one].upload.claim.sha256 for one in uploads} | self._contents(jobs),
                sorted(part.name for one in partial for part in self._db.upload_parts.get(one, ())),
                self._inputs(jobs),
            )

    def others(self, tenant: str, case_id: str, contents: Iterable[str]) -> set[str]:
        with self._db.reading():
            own = {job.job_id for job in self._jobs(tenant, case_id)}
            jobs = {key[0] for key in (*self._db.outcomes, *self._db.payloads)} - own
            uploads = self._db.uploads.keys() - set(self._uploads(tenant, case_id))
            return set(contents) & (
                self._contents(jobs) | {self._db.uploads[one].upload.claim.sha256 for one in uploads}
            )

    def erase(self, tenant: str, case_id: str, by: str, objects: int) -> Erasure:
        db, name = self._db, case_sha256(tenant, case_id)
        with db.writing() as now:
            jobs, fresh = {job.job_id for job in self._jobs(tenant, case_id)}, 0
            for job in (db.jobs[job_id] for job_id in jobs):
                fresh += job.case_id is not None
                job.erased_at, job.case_sha256, job.input_sha256 = now, name, ""
                job.case_id = job.external_id = job.upload_id = job.callback_url = job.labels = None
            deliveries = self._erase_rows(jobs)
            uploads, partial = self._uploads(tenant, case_id), self._partial(tenant, case_id)
            for one in uploads:
                del db.uploads[one]
            for one in partial:
                del db.partial_uploads[one]
                db.upload_parts.pop(one, None)
            record = Erasure(tenant, name, now, by, fresh, len(uploads) + len(partial), deliveries, objects)
            db.erasures.append(record)
            return record

    def erasures(self, tenant: str, case_id: str) -> list[Erasure]:
        with self._db.reading():
            name = case_sha256(tenant, case_id)
            return [each for each in self._db.erasures if (each.tenant, each.case_sha256) == (tenant, name)]

    # ── parts of the above ──

    def _erase_rows(self, jobs: set[bytes]) -> int:
        """Erase the rows of jobs but for the jobs themselves; return the number of deliveries."""
        db, deliveries = self._db, 0
        for run in (run for run in db.runs.values() if run.job_id in jobs):
            run.stage = run.message = None
        for outcome in (each for each in db.outcomes.values() if each.job_id in jobs):
            outcome.output = outcome.refs = outcome.error_message = outcome.input_sha256 = None
        for event in (each for each in db.history.values() if each.job_id in jobs):
            event.body = None
        for cancel in (each for each in db.cancels.values() if each.job_id in jobs):
            cancel.reason = ""
        for letter in (each for each in db.dead_letters.values() if each.letter.job_id in jobs):
            letter.summary = letter.note = None
        for replay in db.replays.values():
            replay.erase(jobs, db.clock.now())
        db.payloads = {key: row for key, row in db.payloads.items() if key[0] not in jobs}
        db.leases = {
            key: row for key, row in db.leases.items() if key[0] not in jobs or row.state not in ("waiting", "offered")
        }
        for delivery in (each for each in db.deliveries.values() if each.job_id in jobs and each.destination):
            deliveries += 1
            delivery.destination, delivery.ended_at = "", delivery.ended_at or db.clock.now()
            delivery.state = "gone" if delivery.state == "pending" else delivery.state
            for each in delivery.try_rows:
                each.error = None
        return deliveries

    def _jobs(self, tenant: str, case_id: str) -> list[StoredJob]:
        name = case_sha256(tenant, case_id)
        return [
            job
            for job in self._db.jobs.values()
            if job.tenant == tenant and (job.case_id == case_id or job.case_sha256 == name)
        ]

    def _uploads(self, tenant: str, case_id: str) -> list[str]:
        rows = self._db.uploads.items()
        return [one for one, row in rows if (row.upload.tenant, row.upload.case_id) == (tenant, case_id)]

    def _partial(self, tenant: str, case_id: str) -> list[str]:
        rows = self._db.partial_uploads.items()
        return [one for one, row in rows if (row.tenant, row.case_id) == (tenant, case_id)]

    def _inputs(self, jobs: set[bytes]) -> set[str]:
        hashes = {self._db.jobs[job_id].input_sha256 for job_id in jobs}
        hashes |= {each.input_sha256 or "" for key, each in self._db.outcomes.items() if key[0] in jobs}
        return hashes - {""}

    def _contents(self, jobs: set[bytes]) -> set[str]:
        """Return the contents that outcomes and kept requests of these jobs refer to."""
        texts: list[bytes | None] = []
        for key, outcome in self._db.outcomes.items():
            texts += [outcome.refs, outcome.output] if key[0] in jobs else []
        for key, payload in self._db.payloads.items():
            texts += [payload.value, *(text.encode() for _, text in payload.headers)] if key[0] in jobs else []
        return {found.decode() for text in texts if text for found in _CONTENT.findall(text)}


def _text(job_id: bytes) -> str:
    return str(UUID(bytes=job_id))
