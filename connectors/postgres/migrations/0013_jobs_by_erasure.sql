-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_erased ON jobs (tenant, case_sha256) WHERE case_sha256 IS NOT NULL
