-- Accepts requests; the first one of a job is kept. Returns those that were the first. A job that the sink has read, whatever its
-- run, was accepted before. The lookup is a subquery, which uses the primary key however this statement was planned.
WITH p AS MATERIALIZED (
    SELECT * FROM @p(
        job_id uuid, run integer, processor text, lane text, key bytea, value bytea, headers jsonb, tenant text,
        input_sha256 text, batch_id uuid, check_in_ms bigint
    )
)
INSERT INTO payloads AS kept (
    job_id, run, processor, lane, key, value, headers, tenant, input_sha256, batch_id, check_at
)
SELECT
    job_id, run, processor, lane, key, value, headers, tenant, input_sha256, batch_id,
    now() + check_in_ms * interval '1 millisecond'
FROM p
WHERE (SELECT true FROM jobs AS j WHERE j.job_id = p.job_id) IS NULL
ON CONFLICT (job_id, run) DO NOTHING
RETURNING kept.job_id
