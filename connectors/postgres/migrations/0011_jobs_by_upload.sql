-- no-transaction
-- A tenant's jobs of one upload.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_upload ON jobs (tenant, upload_id, created_at, job_id) WHERE upload_id IS NOT NULL;
