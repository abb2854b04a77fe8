-- no-transaction
-- A tenant's jobs of one processor, newest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_tenant_processor ON jobs (tenant, processor, created_at, job_id);
