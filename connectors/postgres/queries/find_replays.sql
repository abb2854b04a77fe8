-- Replays, newest first.
SELECT
    s.replay_id::text, s.state, s.mode, s.to_version, s.tenant, s.selection, s.requested_by, s.reason, s.callbacks, s.edit,
    extract(epoch FROM s.deadline)::float8 AS deadline_s, s.rate, s.total, s.published, s.parked, s.failed, s.created_at, s.ended_at
FROM replays AS s
WHERE {wanted}
ORDER BY s.created_at DESC, s.replay_id DESC LIMIT %(limit)s
