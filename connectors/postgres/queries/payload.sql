SELECT p.job_id::text, p.run, p.processor, p.lane, p.key, p.value, p.headers, p.tenant, p.input_sha256, p.batch_id::text
FROM payloads AS p
WHERE p.job_id = %(job_id)s AND p.run = %(run)s
