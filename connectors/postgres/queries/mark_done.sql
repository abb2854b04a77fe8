-- A retry was published as the next attempt, or a run that was not to begin before its time as the same one; its deadline, if it
-- has one, is what it waits for now. An expiry was published as a result; should that get lost, it is due again in a minute, as is
-- what could not be done. A run that moved on meanwhile is left as it is.
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
