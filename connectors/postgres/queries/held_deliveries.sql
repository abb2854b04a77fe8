-- Pending deliveries that a notifier holds already, the oldest first, until they have so many bytes. Not those of progress: a hold
-- of them ends by itself.
WITH held AS (
    SELECT d.* FROM deliveries AS d
    WHERE d.state = 'pending' AND d.notifier = %(notifier)s AND d.kind <> 'progress'
    ORDER BY d.due_at LIMIT %(limit)s
),
counted AS (
    SELECT held.*, sum(held.bytes) OVER (ORDER BY held.due_at, held.delivery_id ROWS UNBOUNDED PRECEDING) - held.bytes AS before
    FROM held
)
SELECT
    d.delivery_id, d.kind, d.sequence, d.destination, d.tries - d.tries_before AS tries, d.job_id, d.run, d.body, d.created_at,
    d.profile AS callback_profile, o.attempt, j.processor, o.status, coalesce(j.tenant, d.tenant) AS tenant, j.external_id,
    j.case_id, j.upload_id, j.batch_id, o.model_version, o.output, o.error_code, o.error_message, o.refs AS output_refs,
    o.decided_at
FROM counted AS d
LEFT JOIN outcomes AS o ON o.job_id = d.job_id AND o.run = d.run
LEFT JOIN jobs AS j ON j.job_id = d.job_id
WHERE d.before < %(max_bytes)s
