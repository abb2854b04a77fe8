-- no-transaction
-- A tenant's jobs, newest first, by keyset.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_tenant ON jobs (tenant, created_at, job_id);
