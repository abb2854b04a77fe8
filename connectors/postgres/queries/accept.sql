-- Whoever comes first stands; whether it was this one is returned.
INSERT INTO payloads (job_id, run, processor, lane, key, value, headers, check_at)
VALUES (%(job_id)s, %(run)s, %(processor)s, %(lane)s, %(key)s, %(value)s, %(headers)s, now() + %(check_in)s)
ON CONFLICT (job_id, run) DO NOTHING
RETURNING true
