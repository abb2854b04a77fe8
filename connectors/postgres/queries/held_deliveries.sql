-- Pending deliveries that a notifier holds already.
SELECT
    d.delivery_id, d.destination, d.tries, d.job_id, d.run, o.attempt, j.processor, o.status, j.tenant, j.external_id,
    j.case_id, j.upload_id, j.batch_id, o.model_version, o.output, o.error_code, o.error_message, o.refs AS output_refs,
    o.decided_at
FROM deliveries AS d
JOIN outcomes AS o ON o.job_id = d.job_id AND o.run = d.run
JOIN jobs AS j ON j.job_id = d.job_id
WHERE d.state = 'pending' AND d.notifier = %(notifier)s
LIMIT %(limit)s
