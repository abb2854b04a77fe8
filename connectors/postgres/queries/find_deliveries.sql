-- Deliveries, newest first, with the last try of each.
SELECT
    d.delivery_id::text, d.job_id::text, d.run, d.kind, d.tenant, d.destination, d.profile, d.state, d.tries,
    CASE d.state WHEN 'pending' THEN d.due_at END AS due_at, d.created_at, d.ended_at, t.status AS last_status, t.error AS last_error
FROM (
    SELECT d.* FROM deliveries AS d
    WHERE {tenant} AND {job} AND {destination} AND {states} AND {since} AND {until} AND {ids} AND {after} AND {window}
    ORDER BY d.created_at DESC, d.delivery_id DESC LIMIT %(limit)s
) AS d
LEFT JOIN LATERAL (
    SELECT t.status, t.error FROM delivery_tries AS t WHERE t.delivery_id = d.delivery_id ORDER BY t.n DESC LIMIT 1
) AS t ON true
ORDER BY d.created_at DESC, d.delivery_id DESC
