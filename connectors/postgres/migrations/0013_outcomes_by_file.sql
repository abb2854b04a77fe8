-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS outcomes_files ON outcomes USING gin (refs jsonb_path_ops) WHERE refs IS NOT NULL
