-- Records what the timekeeper did. A retry was published as the next attempt, a delayed run as the same attempt; both now wait
-- for their deadline, if they have one. An expiry was published as a result; in case that record gets lost, it is due again in a
-- minute, as is everything that could not be done. A run that changed meanwhile stays unchanged.
WITH d AS (
    SELECT *, done AND kind = 'retry' AS retried, done AND kind IN ('retry', 'not_before') AS released
    FROM @p(job_id uuid, run integer, attempt integer, kind text, done boolean)
)
UPDATE runs SET
    state = CASE WHEN d.released THEN 'PENDING' ELSE runs.state END,
    attempt = runs.attempt + d.retried::integer,
    execution = CASE WHEN d.retried THEN 0 ELSE runs.execution END,
    sequence = CASE WHEN d.retried THEN 0 ELSE runs.sequence END,
    due_at = CASE WHEN d.released THEN runs.deadline ELSE now() + interval '1 minute' END,
    due_kind = CASE WHEN NOT d.released THEN runs.due_kind WHEN runs.deadline IS NOT NULL THEN 'deadline' END,
    updated_at = now()
FROM d
WHERE runs.job_id = d.job_id AND runs.run = d.run AND runs.attempt = d.attempt AND runs.due_kind = d.kind
