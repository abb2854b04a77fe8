-- Part of preview_replay, sample_replay and start_replay: the rows of a selection, and why some of them are to be parked.
-- A job waits in a replay until its new run is stored, or its replay is cancelled before that row was published.
chosen AS MATERIALIZED (
    {chosen}
    LIMIT %(at_most)s
),
checked AS MATERIALIZED (
    SELECT
        c.turn, c.source, c.job_id, c.from_run, c.topic_id, c.partition, c."offset", j.processor, r.state,
        o.error_code, o.fingerprint, o.run_ms,
        CASE WHEN c.job_id IS NOT NULL THEN 1 + greatest(c.from_run, latest.run, before.run)::bigint END AS next_run,
        CASE
            WHEN j.erased_at IS NOT NULL THEN %(erased)s
            WHEN r.state IN ('PENDING', 'PROCESSING', 'RETRYING') THEN replace(%(open_run)s, '{run}', r.run::text)
            WHEN greatest(c.from_run, latest.run, before.run) >= %(last_run)s THEN %(no_run_left)s
            WHEN %(mode)s = 'replay' AND before.waits IS NOT NULL THEN
                replace(replace(%(open_replay)s, '{replay_id}', before.waits_in::text), '{run}', before.waits::text)
            WHEN before.times >= %(limit)s::integer THEN
                replace(replace(%(too_often)s, '{times}', before.times::text), '{limit}', %(limit)s::text)
        END AS parked
    FROM chosen AS c
    LEFT JOIN jobs AS j ON j.job_id = c.job_id
    LEFT JOIN runs AS r ON r.job_id = j.job_id AND r.run = j.current_run
    LEFT JOIN outcomes AS o ON o.job_id = c.job_id AND o.run = c.from_run
    LEFT JOIN LATERAL (SELECT max(runs.run) AS run FROM runs WHERE runs.job_id = c.job_id) AS latest ON true
    LEFT JOIN LATERAL (
        SELECT
            max(p.run) AS run,
            count(*) FILTER (WHERE p.counts) AS times,
            max(p.run) FILTER (WHERE p.counts AND p.waits) AS waits,
            (array_agg(p.replay_id ORDER BY p.run DESC) FILTER (WHERE p.counts AND p.waits))[1] AS waits_in
        FROM (
            SELECT
                p.run, p.replay_id,
                s.mode = 'replay' AND (p.state = 'published' OR (p.state = 'waiting' AND s.state <> 'cancelled')) AS counts,
                p.run > coalesce(j.current_run, c.from_run, -1)
                    AND (p.state = 'waiting' OR p.published_at > now() - interval '1 day') AS waits
            FROM replay_jobs AS p JOIN replays AS s ON s.replay_id = p.replay_id
            WHERE p.job_id = c.job_id
        ) AS p
    ) AS before ON true
)
