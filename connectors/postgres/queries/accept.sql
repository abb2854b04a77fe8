-- The first request of a run is kept; returns a row if this was the first.
INSERT INTO payloads (job_id, run, processor, lane, key, value, headers, check_at)
VALUES (%(job_id)s, %(run)s, %(processor)s, %(lane)s, %(key)s, %(value)s, %(headers)s, now() + %(check_in)s)
ON CONFLICT (job_id, run) DO NOTHING
RETURNING true
