INSERT INTO controls AS was (processor, action, requested_at, requested_by, reason)
SELECT processor, action, requested_at, requested_by, reason
FROM @p(processor text, action text, requested_at timestamptz, requested_by text, reason text)
ON CONFLICT (processor) DO UPDATE SET
    action = excluded.action, requested_at = excluded.requested_at, requested_by = excluded.requested_by,
    reason = excluded.reason
