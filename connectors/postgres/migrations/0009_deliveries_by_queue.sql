-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_queues
ON deliveries (tenant COLLATE "C", callback_authority(destination) COLLATE "C", due_at)
WHERE state = 'pending' AND notifier IS NULL;
