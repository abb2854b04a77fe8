"""References to files, and erasures, on Postgres."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from connectors.postgres.base import PostgresStore
from connectors.postgres.connection import MIGRATION
from connectors.replay_store import ERASED
from connectors.retention_store import CaseRows, Erasure, case_sha256


class PostgresRetentionStore(PostgresStore):
    """Implements `connectors.retention_store.RetentionStore`."""

    application = "sluice retention"
    limits = MIGRATION  # reads whole tables

    def references(self) -> set[str]:
        return {row["sha256"] for row in self._rows("referenced_contents", {})}

    def unfinished(self, upload_ids: Iterable[str]) -> set[str]:
        ids = [UUID(one) for one in upload_ids]
        return {row["upload_id"] for row in self._rows("unfinished_uploads", upload_ids=ids)} if ids else set()

    def known_inputs(self, inputs: Iterable[str]) -> set[tuple[str, str]]:
        wanted = sorted(set(inputs))
        rows = self._rows("known_inputs", inputs=wanted) if wanted else []
        return {(row["tenant"], row["input_sha256"]) for row in rows}

    def case(self, tenant: str, case_id: str) -> CaseRows:
        (row,) = self._rows("case_rows", tenant=tenant, case_id=case_id, case_sha256=case_sha256(tenant, case_id))
        return CaseRows(
            row["job_ids"],
            [(job_id, run) for job_id, run in row["open_runs"]],
            row["upload_ids"],
            row["deliveries"],
            set(row["contents"]),
            row["parts"],
            set(row["inputs"]),
        )

    def others(self, tenant: str, case_id: str, contents: Iterable[str]) -> set[str]:
        wanted = sorted(set(contents))
        if not wanted:
            return set()
        rows = self._rows(
            "contents_of_others",
            tenant=tenant,
            case_id=case_id,
            case_sha256=case_sha256(tenant, case_id),
            contents=wanted,
        )
        return {row["sha256"] for row in rows}

    def erase(self, tenant: str, case_id: str, by: str, objects: int) -> Erasure:
        (row,) = self._rows(
            "erase_case",
            tenant=tenant,
            case_id=case_id,
            case_sha256=case_sha256(tenant, case_id),
            by=by,
            objects=objects,
            erased=ERASED,
        )
        return Erasure(**row)

    def erasures(self, tenant: str, case_id: str) -> list[Erasure]:
        rows = self._rows("erasures", tenant=tenant, case_sha256=case_sha256(tenant, case_id))
        return [Erasure(**row) for row in rows]
