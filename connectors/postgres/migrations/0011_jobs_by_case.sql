-- no-transaction
-- A tenant's jobs of one case.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_case ON jobs (tenant, case_id, created_at, job_id) WHERE case_id IS NOT NULL;
