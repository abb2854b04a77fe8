-- What became of one batch, asked again and again while it runs.
CREATE INDEX jobs_batch ON jobs (batch_id) WHERE batch_id IS NOT NULL;
