-- no-transaction
-- Deliveries by time. Rows arrive in that order, so a few bytes per 32 pages are enough, and a delivery costs nothing more.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_created ON deliveries
USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);
