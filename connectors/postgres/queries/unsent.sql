-- Payloads that are due for a check. If the run has ended, the payload is deleted; if the run is known, the request has reached
-- the log. The other payloads are returned, to be sent again, and checked after a wait that doubles.
WITH looked AS MATERIALIZED (
    SELECT p.job_id, p.run, r.state, o.job_id IS NOT NULL AS ended
    FROM (SELECT job_id, run FROM payloads WHERE check_at <= now() ORDER BY check_at LIMIT %(limit)s) AS p
    LEFT JOIN runs AS r ON r.job_id = p.job_id AND r.run = p.run
    LEFT JOIN outcomes AS o ON o.job_id = p.job_id AND o.run = p.run
),
gone AS (
    DELETE FROM payloads AS p USING looked AS l WHERE l.ended AND p.job_id = l.job_id AND p.run = l.run
),
put_off AS (
    UPDATE payloads AS p SET
        check_at = now() + CASE
            WHEN l.state IS NULL THEN least(greatest(now() - p.accepted_at, interval '5 seconds'), interval '10 minutes')
            ELSE interval '1 minute'
        END
    FROM looked AS l
    WHERE NOT l.ended AND p.job_id = l.job_id AND p.run = l.run
)
SELECT p.job_id::text, p.run, p.processor, p.lane, p.key, p.value, p.headers, p.tenant, p.input_sha256,
    p.batch_id::text
FROM looked AS l JOIN payloads AS p ON p.job_id = l.job_id AND p.run = l.run
WHERE l.state IS NULL AND NOT l.ended
