-- The last command to each processor.
SELECT processor, action, requested_at, requested_by, reason FROM controls ORDER BY processor
