-- Running replays that may publish now, the oldest first. A second's worth of rows is made up for, no more. Whatever rate a row
-- has, it is held to the bounds in connectors/replay_store.py: an overflow would stop the replays of all.
SELECT
    s.replay_id::text, s.state, s.mode, s.to_version, s.tenant, s.selection, s.requested_by, s.reason, s.callbacks, s.edit,
    extract(epoch FROM s.deadline)::float8 AS deadline_s, s.rate, s.total, s.published, s.parked, s.failed, s.created_at, s.ended_at,
    CASE WHEN s.rate IS NOT NULL THEN 1 + floor(
        extract(epoch FROM now() - greatest(s.next_at, now() - interval '1 second')) * least(greatest(s.rate, 0.001), 10000)
    )::integer END AS allowed,
    now() AS at
FROM replays AS s
WHERE s.state = 'running' AND s.next_at <= now()
ORDER BY s.created_at, s.replay_id
