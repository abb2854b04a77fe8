-- Leases of a batch. Runs after `store_batch` in the same transaction, so that `runs` already has the new state of each run: a
-- request that did not change its run makes nothing claimable, whatever the reason.
WITH l AS MATERIALIZED (
    SELECT * FROM @l(
        job_id uuid, run integer, phase text, attempt integer, input_sha256 text, processor text, lane text, key bytea,
        value bytea, headers jsonb, topic_id uuid, partition integer, "offset" bigint, replay_id uuid
    )
),
current AS MATERIALIZED (
    SELECT l.*, r.state, r.attempt AS current_attempt
    FROM l JOIN runs AS r ON r.job_id = l.job_id AND r.run = l.run JOIN jobs AS j ON j.job_id = l.job_id
    LEFT JOIN replay_jobs AS p ON p.job_id = l.job_id AND p.run = l.run
    WHERE j.input_sha256 = l.input_sha256 OR j.input_sha256 = '' OR l.input_sha256 = '' OR p.replay_id = l.replay_id
),
requested AS MATERIALIZED (
    SELECT * FROM current WHERE phase = 'requested' AND state = 'PENDING' AND current_attempt = attempt
),
kept AS (
    INSERT INTO payloads (job_id, run, processor, lane, key, value, headers)
    SELECT job_id, run, processor, lane, key, value, headers FROM requested
    ON CONFLICT (job_id, run) DO UPDATE SET
        key = excluded.key, value = excluded.value, headers = excluded.headers, check_at = NULL
),
claimable AS (
    INSERT INTO leases AS was (job_id, run, processor, lane, state, attempt, rank, topic_id, partition, "offset")
    SELECT
        job_id, run, processor, lane, 'waiting', attempt,
        now() + CASE lane WHEN 'bulk' THEN interval '10 minutes' ELSE interval '0' END, topic_id, partition, "offset"
    FROM requested
    ON CONFLICT (job_id, run) DO UPDATE SET
        state = 'waiting', attempt = excluded.attempt, execution = 1, losses = 0, rank = excluded.rank, worker = NULL,
        expires_at = NULL, topic_id = excluded.topic_id, partition = excluded.partition, "offset" = excluded."offset"
    WHERE excluded.attempt > was.attempt
    RETURNING was.processor
),
-- A worker may have published a retry and died before settling: its lease must not expire. The row stays as a fence against
-- older executions until the next attempt takes it over.
settled AS (
    UPDATE leases SET state = 'settled', expires_at = NULL
    FROM current AS s
    WHERE leases.job_id = s.job_id AND leases.run = s.run AND leases.attempt = s.attempt
      AND s.phase = 'retrying' AND s.state = 'RETRYING' AND s.current_attempt = s.attempt
),
ended AS MATERIALIZED (
    SELECT job_id, run FROM current WHERE state NOT IN ('PENDING', 'PROCESSING', 'RETRYING')
),
freed AS (
    DELETE FROM leases USING ended WHERE leases.job_id = ended.job_id AND leases.run = ended.run
),
forgotten AS (
    DELETE FROM payloads USING ended WHERE payloads.job_id = ended.job_id AND payloads.run = ended.run
)
SELECT pg_notify('sluice_leases', processor) FROM (SELECT DISTINCT processor FROM claimable) AS changed
