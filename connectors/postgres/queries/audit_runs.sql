-- Everything that is stored of each of these runs, in their order. Open runs also get the last request that the sink has read.
SELECT
    k.job_id, k.run, coalesce(j.processor, p.processor) AS processor, coalesce(j.tenant, p.tenant) AS tenant,
    coalesce(j.callback_url, '') <> '' AS callback, j.erased_at IS NOT NULL AS erased,
    r.mode, r.state, coalesce(r.attempt, 0) AS attempt, r.due_at, r.due_kind, r.updated_at, r.topic_id, r.partition, r."offset",
    h.attempt AS request_attempt, h.topic_id AS request_topic_id, h.partition AS request_partition, h."offset" AS request_offset,
    o.status, o.attempt AS outcome_attempt, o.error_code, o.output::text AS output, o.topic_id AS outcome_topic_id,
    o.partition AS outcome_partition, o."offset" AS outcome_offset, o.decided_at,
    d.ids, d.states, d.due, l.state AS lease, p.accepted_at AS payload_at, p.check_at
FROM unnest(%(jobs)s::uuid[], %(runs)s::integer[]) WITH ORDINALITY AS k(job_id, run, n)
LEFT JOIN jobs AS j ON j.job_id = k.job_id
LEFT JOIN runs AS r ON r.job_id = k.job_id AND r.run = k.run
LEFT JOIN outcomes AS o ON o.job_id = k.job_id AND o.run = k.run
LEFT JOIN payloads AS p ON p.job_id = k.job_id AND p.run = k.run
LEFT JOIN leases AS l ON l.job_id = k.job_id AND l.run = k.run
LEFT JOIN LATERAL (
    SELECT array_agg(delivery_id::text) AS ids, array_agg(state) AS states, array_agg(due_at) AS due FROM deliveries
    WHERE deliveries.job_id = k.job_id AND deliveries.run = k.run AND deliveries.kind = 'outcome'
) AS d ON true
LEFT JOIN LATERAL (
    SELECT history.attempt, history.topic_id, history.partition, history."offset" FROM history
    WHERE r.state IN ('PENDING', 'PROCESSING', 'RETRYING') AND history.job_id = k.job_id AND history.run = k.run
      AND history.kind = 'request'
    ORDER BY history.attempt DESC, history.at DESC LIMIT 1
) AS h ON true
ORDER BY k.n
