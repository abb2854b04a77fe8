-- Due deliveries that no notifier holds, oldest first; then deliveries of dead notifiers.
WITH dead AS (
    SELECT n.notifier FROM notifiers AS n WHERE n.alive_until < now()
),
free AS (
    SELECT d.delivery_id FROM deliveries AS d
    WHERE d.state = 'pending' AND d.notifier IS NULL AND d.due_at <= now()
    ORDER BY d.due_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
orphaned AS (
    SELECT d.delivery_id FROM deliveries AS d
    WHERE d.state = 'pending' AND d.notifier IN (SELECT notifier FROM dead)
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
taken AS (
    UPDATE deliveries SET notifier = %(notifier)s
    WHERE delivery_id IN (SELECT delivery_id FROM free UNION ALL SELECT delivery_id FROM orphaned)
    RETURNING delivery_id, job_id, run, destination, tries
)
SELECT
    taken.delivery_id, taken.destination, taken.tries, taken.job_id, taken.run, o.attempt, j.processor, o.status, j.tenant,
    j.external_id, j.case_id, j.upload_id, j.batch_id, o.model_version, o.output, o.error_code, o.error_message,
    o.refs AS output_refs, o.decided_at
FROM taken
JOIN outcomes AS o ON o.job_id = taken.job_id AND o.run = taken.run
JOIN jobs AS j ON j.job_id = taken.job_id
