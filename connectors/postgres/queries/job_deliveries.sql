SELECT
    d.delivery_id::text, d.run, d.kind, d.destination, d.state, CASE d.state WHEN 'pending' THEN d.due_at END AS due_at, d.ended_at,
    coalesce(
        (SELECT jsonb_agg(jsonb_build_object('n', t.n, 'at', t.at, 'status', t.status, 'ms', t.ms, 'error', t.error) ORDER BY t.n)
         FROM delivery_tries AS t WHERE t.delivery_id = d.delivery_id),
        '[]'
    ) AS tries
FROM deliveries AS d
WHERE d.job_id = %(job_id)s
ORDER BY d.run, d.sequence
