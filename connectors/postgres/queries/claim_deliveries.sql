-- Due deliveries of these queues that no notifier holds: the oldest of each queue, then the second of each, and so on, up to a
-- number and until they have so many bytes. Nothing is sorted but the few of each queue, which the index has in order.
WITH due AS (
    SELECT next.delivery_id, next.bytes, queue.n, row_number() OVER (PARTITION BY queue.n ORDER BY next.due_at) AS turn
    FROM unnest(%(tenants)s::text[], %(authorities)s::text[]) WITH ORDINALITY AS queue (tenant, authority, n)
    CROSS JOIN LATERAL (
        SELECT d.delivery_id, d.bytes, d.due_at FROM deliveries AS d
        WHERE d.state = 'pending' AND d.notifier IS NULL AND d.due_at <= now()
          AND (d.held_until IS NULL OR d.held_until <= now())
          AND d.tenant COLLATE "C" = queue.tenant AND callback_authority(d.destination) COLLATE "C" = queue.authority
        ORDER BY d.due_at LIMIT %(per_queue)s
    ) AS next
),
counted AS (
    SELECT delivery_id, row_number() OVER turns AS place, sum(bytes) OVER turns - bytes AS bytes_before
    FROM due WINDOW turns AS (ORDER BY turn, n ROWS UNBOUNDED PRECEDING)
),
-- Another notifier may have chosen the same ones. Arrays, because a semi-join would read every due delivery; `lower`, because
-- without it a plan may find the rows by the partial indexes, which hold every due delivery too.
free AS (
    SELECT d.delivery_id FROM deliveries AS d
    WHERE d.delivery_id = ANY (
        ARRAY(SELECT delivery_id FROM counted WHERE place <= %(limit)s AND bytes_before < %(max_bytes)s)
    )
      AND lower(d.state) = 'pending' AND d.notifier IS NULL
    FOR UPDATE SKIP LOCKED
),
taken AS (
    UPDATE deliveries SET
        notifier = %(notifier)s, held_until = CASE kind WHEN 'progress' THEN now() + %(hold)s END
    WHERE delivery_id = ANY (ARRAY(SELECT delivery_id FROM free))
    RETURNING delivery_id, job_id, run, kind, sequence, destination, profile, tries - tries_before AS tries, tenant, body, created_at
)
SELECT
    taken.delivery_id, taken.kind, taken.sequence, taken.destination, taken.tries, taken.job_id, taken.run, taken.body,
    taken.created_at, taken.profile AS callback_profile, o.attempt, j.processor, o.status, coalesce(j.tenant, taken.tenant) AS tenant,
    j.external_id, j.case_id, j.upload_id, j.batch_id, o.model_version, o.output, o.error_code, o.error_message,
    o.refs AS output_refs, o.decided_at
FROM taken
LEFT JOIN outcomes AS o ON o.job_id = taken.job_id AND o.run = taken.run
LEFT JOIN jobs AS j ON j.job_id = taken.job_id
