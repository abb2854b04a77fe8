-- Stores progress. It never changes an ended run, changes a run that waits for a retry only if its attempt is newer, and
-- changes a running one only if it is newer progress.
-- Returns the known runs, so that the caller can keep progress of the others until their request is stored.
-- A job with progress callbacks has one delivery of them per run, but none of a shadow run. It becomes pending again with newer
-- progress; what is sent is the run's newest progress at the time of the claim. As this statement holds the run's row until its
-- commit, none becomes pending after the run's end.
WITH p AS MATERIALIZED (
    SELECT * FROM @p(
        n integer, job_id uuid, run integer, attempt integer, execution integer, sequence integer, owner text, stage text,
        percent real, message text, delivery_id uuid
    )
),
moved AS (
    UPDATE runs SET
        state = 'PROCESSING', attempt = p.attempt, execution = p.execution, sequence = p.sequence, owner = p.owner,
        stage = p.stage, percent = p.percent, message = CASE WHEN j.erased_at IS NULL THEN p.message END,
        -- The run has started, so it now waits for its deadline only, if it has one.
        due_at = runs.deadline, due_kind = CASE WHEN runs.deadline IS NOT NULL THEN 'deadline' END, updated_at = now()
    FROM p LEFT JOIN jobs AS j ON j.job_id = p.job_id
    WHERE runs.job_id = p.job_id AND runs.run = p.run
      AND CASE runs.state
              WHEN 'PENDING' THEN p.attempt >= runs.attempt
              WHEN 'PROCESSING' THEN (p.attempt, p.execution, p.sequence) > (runs.attempt, runs.execution, runs.sequence)
              WHEN 'RETRYING' THEN p.attempt > runs.attempt
              ELSE false
          END
    RETURNING runs.job_id, runs.run, runs.mode, p.delivery_id
),
callbacks AS (
    INSERT INTO deliveries AS d (
        delivery_id, job_id, run, kind, sequence, destination, profile, state, tries, due_at, tenant
    )
    SELECT
        moved.delivery_id, moved.job_id, moved.run, 'progress', 0, j.callback_url, j.callback_profile, 'pending', 0, now(),
        left(j.tenant, 128)
    FROM moved JOIN jobs AS j ON j.job_id = moved.job_id
    WHERE j.callback_progress AND j.callback_url <> '' AND moved.delivery_id IS NOT NULL AND moved.mode <> 'shadow'
      -- The callbacks of a replay may be none, or go to another address than the job's.
      AND (moved.mode <> 'replay' OR NOT EXISTS (
          SELECT FROM replay_jobs AS made JOIN replays AS s ON s.replay_id = made.replay_id
          WHERE made.job_id = moved.job_id AND made.run = moved.run AND s.callbacks <> 'usual'
      ))
    ON CONFLICT (delivery_id) DO UPDATE SET
        sequence = d.sequence + 1, state = 'pending', due_at = CASE d.state WHEN 'pending' THEN d.due_at ELSE now() END, ended_at = NULL
    WHERE d.state IN ('pending', 'delivered')
)
SELECT p.n FROM p JOIN runs ON runs.job_id = p.job_id AND runs.run = p.run
