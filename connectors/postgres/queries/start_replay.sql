WITH {candidates},
added AS (
    INSERT INTO replay_jobs (
        replay_id, n, source, job_id, from_run, run, topic_id, partition, "offset", state, reason
    )
    SELECT
        %(replay_id)s, row_number() OVER (ORDER BY turn, partition, job_id), source, job_id, from_run,
        CASE WHEN parked IS NULL THEN next_run END, topic_id, partition, "offset",
        CASE WHEN parked IS NULL THEN 'waiting' ELSE 'parked' END, parked
    FROM checked
)
INSERT INTO replays (
    replay_id, state, mode, to_version, tenant, selection, requested_by, reason, callbacks, edit, deadline, rate, total, parked,
    ended_at
)
SELECT
    %(replay_id)s, CASE WHEN count(*) = count(parked) THEN 'done' ELSE 'running' END, %(mode)s, %(to_version)s, %(tenant)s,
    %(selection)s, %(requested_by)s, %(reason)s, %(callbacks)s, %(edit)s, %(deadline)s, %(rate)s, count(*), count(parked),
    CASE WHEN count(*) = count(parked) THEN now() END
FROM checked
