-- Ends the progress callbacks of runs that have ended, and makes the deliveries of their outcomes due: at once, or after the
-- longest time that a try of a progress in flight may take. Whoever records that try makes them due earlier.
-- Run after store_batch: its snapshot sees every progress that was marked before the end, and none is marked after it.
-- Returns the outcomes' deliveries that are due at once and so their notifiers'.
WITH e AS MATERIALIZED (
    SELECT * FROM @e(outcome_id uuid, progress_id uuid, notifier uuid)
),
progress AS (
    UPDATE deliveries AS d SET
        state = CASE WHEN d.held_until > now() THEN d.state ELSE 'superseded' END,
        ended_at = CASE WHEN d.held_until > now() THEN d.ended_at ELSE now() END
    FROM e
    WHERE d.delivery_id = e.progress_id AND d.state = 'pending'
    RETURNING d.delivery_id, CASE WHEN d.state = 'pending' THEN d.held_until END AS held_until
),
due AS (
    UPDATE deliveries AS d SET
        due_at = coalesce(progress.held_until, now()),
        notifier = CASE WHEN progress.held_until IS NULL THEN e.notifier END
    FROM e LEFT JOIN progress ON progress.delivery_id = e.progress_id
    WHERE d.delivery_id = e.outcome_id AND d.state = 'pending'
    RETURNING d.delivery_id, progress.held_until
)
SELECT delivery_id FROM due WHERE held_until IS NULL
