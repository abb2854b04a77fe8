-- no-transaction
-- A tenant's job by the caller's own id.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_external_id ON jobs (tenant, external_id, created_at, job_id) WHERE external_id IS NOT NULL;
