-- no-transaction
-- The few that an operator looks for, by time.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_failed ON deliveries (created_at DESC, delivery_id DESC)
WHERE state IN ('parked', 'gone', 'refused');
