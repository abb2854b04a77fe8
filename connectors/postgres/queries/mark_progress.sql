-- Stores progress. It never changes an ended run, changes a run that waits for a retry only if its attempt is newer, and
-- changes a running one only if it is newer progress.
-- Returns the known runs, so that the caller can keep progress of the others until their request is stored.
WITH p AS MATERIALIZED (
    SELECT * FROM @p(
        n integer, job_id uuid, run integer, attempt integer, execution integer, sequence integer, owner text, stage text,
        percent real, message text
    )
),
moved AS (
    UPDATE runs SET
        state = 'PROCESSING', attempt = p.attempt, execution = p.execution, sequence = p.sequence, owner = p.owner,
        stage = p.stage, percent = p.percent, message = p.message,
        -- The run has started, so it now waits for its deadline only, if it has one.
        due_at = runs.deadline, due_kind = CASE WHEN runs.deadline IS NOT NULL THEN 'deadline' END, updated_at = now()
    FROM p
    WHERE runs.job_id = p.job_id AND runs.run = p.run
      AND CASE runs.state
              WHEN 'PENDING' THEN p.attempt >= runs.attempt
              WHEN 'PROCESSING' THEN (p.attempt, p.execution, p.sequence) > (runs.attempt, runs.execution, runs.sequence)
              WHEN 'RETRYING' THEN p.attempt > runs.attempt
              ELSE false
          END
)
SELECT p.n FROM p JOIN runs ON runs.job_id = p.job_id AND runs.run = p.run
