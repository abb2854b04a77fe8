-- Deletes the contents of a case; its jobs keep their states and times. Records it, and with that what comes late is not stored.
-- `now()` in the record: jobs of the case that are created later are new ones.
WITH e AS MATERIALIZED (
    SELECT job_id, case_id IS NOT NULL AS fresh FROM jobs
    WHERE tenant = %(tenant)s AND (case_id = %(case_id)s OR case_sha256 = %(case_sha256)s)
),
jobs_erased AS (
    UPDATE jobs AS j SET
        erased_at = now(), case_sha256 = %(case_sha256)s, case_id = NULL, external_id = NULL, upload_id = NULL,
        callback_url = NULL, labels = NULL, input_sha256 = ''
    FROM e WHERE j.job_id = e.job_id
),
runs_erased AS (
    UPDATE runs AS r SET message = NULL, stage = NULL FROM e WHERE r.job_id = e.job_id
),
outcomes_erased AS (
    UPDATE outcomes AS o SET output = NULL, refs = NULL, error_message = NULL, input_sha256 = NULL FROM e WHERE o.job_id = e.job_id
),
history_erased AS (
    UPDATE history AS h SET body = NULL FROM e WHERE h.job_id = e.job_id AND h.body IS NOT NULL
),
cancels_erased AS (
    UPDATE cancels AS c SET reason = '' FROM e WHERE c.job_id = e.job_id
),
dead_letters_erased AS (
    UPDATE dead_letters AS d SET summary = NULL, note = NULL FROM e WHERE d.job_id = e.job_id
),
-- A row keeps the number of its run: its record may be on its way already.
rows_parked AS (
    UPDATE replay_jobs AS p SET state = 'parked', reason = %(erased)s, due_at = NULL
    FROM e WHERE p.job_id = e.job_id AND p.state = 'waiting'
    RETURNING p.replay_id
),
replays_of_case AS (
    SELECT q.replay_id, (SELECT count(*) FROM rows_parked AS w WHERE w.replay_id = q.replay_id) AS parked
    FROM (SELECT DISTINCT p.replay_id FROM replay_jobs AS p JOIN e USING (job_id)) AS q
),
-- A patch of inputs may hold a value of this case. A running replay needs it for its other jobs.
replays_erased AS (
    UPDATE replays AS s SET
        parked = s.parked + q.parked,
        (state, ended_at, edit, reason) = (
            SELECT
                CASE WHEN x.ends THEN 'done' ELSE s.state END, CASE WHEN x.ends THEN now() ELSE s.ended_at END,
                CASE WHEN x.ends OR s.ended_at IS NOT NULL THEN NULL ELSE s.edit END,
                CASE WHEN x.ends OR s.ended_at IS NOT NULL THEN '' ELSE s.reason END
            FROM (
                SELECT s.state IN ('running', 'paused') AND s.published + s.failed + s.parked + q.parked >= s.total AS ends
            ) AS x
        )
    FROM replays_of_case AS q
    WHERE s.replay_id = q.replay_id AND (q.parked > 0 OR s.ended_at IS NOT NULL)
),
payloads_gone AS (
    DELETE FROM payloads AS p USING e WHERE p.job_id = e.job_id
),
leases_gone AS (
    DELETE FROM leases AS l USING e WHERE l.job_id = e.job_id AND l.state IN ('waiting', 'offered')
),
deliveries_erased AS (
    UPDATE deliveries AS d SET
        destination = '', state = CASE d.state WHEN 'pending' THEN 'gone' ELSE d.state END, ended_at = coalesce(d.ended_at, now())
    FROM e WHERE d.job_id = e.job_id AND d.destination <> ''
    RETURNING d.delivery_id
),
tries_erased AS (
    UPDATE delivery_tries AS t SET error = NULL FROM deliveries_erased AS d
    WHERE t.delivery_id = d.delivery_id AND t.error IS NOT NULL
),
uploads_gone AS (
    DELETE FROM uploads WHERE tenant = %(tenant)s AND case_id = %(case_id)s RETURNING upload_id
),
partial_gone AS (
    DELETE FROM partial_uploads WHERE tenant = %(tenant)s AND case_id = %(case_id)s RETURNING upload_id
),
parts_gone AS (
    DELETE FROM upload_parts AS p USING partial_gone AS w WHERE p.upload_id = w.upload_id
)
INSERT INTO erasures (tenant, case_sha256, erased_at, erased_by, jobs, uploads, deliveries, objects)
SELECT
    %(tenant)s, %(case_sha256)s, now(), %(by)s, (SELECT count(*) FROM e WHERE fresh),
    (SELECT count(*) FROM uploads_gone) + (SELECT count(*) FROM partial_gone), (SELECT count(*) FROM deliveries_erased), %(objects)s
RETURNING tenant, case_sha256, erased_at, erased_by, jobs, uploads, deliveries, objects
