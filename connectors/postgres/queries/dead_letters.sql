-- Part of find_dead_letters, dead_letter_groups and drop_dead_letters: the rows with their states. That a dead letter was redriven
-- is read from the replays: of its record, or of its job in a later run. So it is open again if that fails or is cancelled.
letters AS (
    SELECT
        d.topic_id, d.partition, d."offset", d.at, d.reason, d.fingerprint,
        CASE WHEN j.erased_at IS NULL THEN d.summary END AS summary, d.processor, d.origin_topic, d.origin_partition, d.origin_offset,
        d.job_id, d.run, j.job_id IS NOT NULL AS job_known, j.tenant, d.bytes, d.attempts, d.worker,
        CASE WHEN d.state = 'open' AND again.replay_id IS NOT NULL THEN 'redriven' ELSE d.state END AS state,
        coalesce(d.changed_at, again.created_at) AS changed_at, coalesce(d.changed_by, again.requested_by) AS changed_by,
        coalesce(d.note, again.reason) AS note, again.replay_id
    FROM dead_letters AS d
    LEFT JOIN jobs AS j ON j.job_id = d.job_id
    LEFT JOIN LATERAL (
        SELECT s.replay_id, s.created_at, s.requested_by, s.reason
        FROM (
            SELECT p.replay_id, p.state FROM replay_jobs AS p
            WHERE p.source = 'dead-letter' AND p.topic_id = d.topic_id AND p.partition = d.partition AND p."offset" = d."offset"
            UNION ALL
            SELECT p.replay_id, p.state FROM replay_jobs AS p WHERE p.job_id = d.job_id AND p.run > d.run
        ) AS p
        JOIN replays AS s ON s.replay_id = p.replay_id
        WHERE s.mode = 'replay' AND (p.state = 'published' OR (p.state = 'waiting' AND s.state <> 'cancelled'))
        ORDER BY s.created_at DESC LIMIT 1
    ) AS again ON d.state = 'open'
    WHERE {places} AND {fingerprint} AND {reason} AND {processor} AND {since} AND {until} AND {job} AND {tenant}
)
