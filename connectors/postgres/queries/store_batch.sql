-- One batch of the sink: jobs, runs, outcomes, history, deliveries and offsets, all or nothing, in one round trip.
-- docs/adr/0004-one-statement-a-batch.md explains each part.
--   r: one row per run in the batch     h: one row per event     o: one row per partition whose offset moves
-- Values to look up come from these parameters and are never constants: the statement is planned once, while the stored tables
-- are empty, and with a constant that plan would scan them forever.
WITH r AS MATERIALIZED (
    SELECT * FROM @r(
        job_id uuid, run integer, carries_job boolean, current_run integer, created_at timestamptz, tenant text, processor text,
        input_sha256 text, external_id text, case_id text, upload_id text, batch_id text, parent_job_id text,
        callback_url text, callback_profile text, callback_progress boolean, labels jsonb, replay_id uuid, mode text, lane text, state text, attempt integer, execution integer,
        sequence integer, owner text, due_in_ms bigint, deadline timestamptz, not_before timestamptz, topic_id uuid,
        partition integer, "offset" bigint, status text, error_code text, error_message text, fingerprint text, output jsonb, refs jsonb,
        device text, device_note text, model_version text, model_sha256 text, code_version text, run_input_sha256 text, reused_from text,
        started_at timestamptz, finished_at timestamptz, run_ms real,
        won_topic_id uuid, won_partition integer, won_offset bigint, delivery_id uuid, notifier uuid
    )
),
-- A job id that came with another input keeps its first request: such a row is not returned and nothing else is stored for it.
-- An empty hash (of a request that could not be decoded) matches any input. So does that of a run that a replay of ours has
-- made, which may have edited the input; the run's own hash is in its outcome.
-- Of a case that was erased after the job was created (docs/adr/0030) only what the run needs is stored, here and below.
known AS (
    INSERT INTO jobs AS j (
        job_id, created_at, current_run, tenant, processor, input_sha256, external_id, case_id, upload_id, batch_id,
        parent_job_id, callback_url, callback_profile, callback_progress, labels, erased_at, case_sha256
    )
    SELECT
        r.job_id, r.created_at, r.current_run, r.tenant, r.processor, CASE WHEN e.erased_at IS NULL THEN r.input_sha256 ELSE '' END,
        CASE WHEN e.erased_at IS NULL THEN r.external_id END, CASE WHEN e.erased_at IS NULL THEN r.case_id END,
        CASE WHEN e.erased_at IS NULL THEN r.upload_id END, r.batch_id, r.parent_job_id,
        CASE WHEN e.erased_at IS NULL THEN r.callback_url END, r.callback_profile, r.callback_progress,
        CASE WHEN e.erased_at IS NULL THEN r.labels END,
        e.erased_at, e.case_sha256
    FROM r LEFT JOIN LATERAL (
        SELECT erasures.erased_at, erasures.case_sha256 FROM erasures
        WHERE r.case_id IS NOT NULL AND erasures.tenant = r.tenant
          AND erasures.case_sha256 = case_sha256(r.tenant, r.case_id) AND erasures.erased_at >= r.created_at
        LIMIT 1
    ) AS e ON true
    WHERE r.carries_job
    ON CONFLICT (job_id) DO UPDATE SET current_run = greatest(j.current_run, excluded.current_run)
    WHERE j.input_sha256 = excluded.input_sha256 OR j.input_sha256 = '' OR excluded.input_sha256 = '' OR (
        SELECT bool_and(p.replay_id = batch.replay_id) FROM r AS batch
        LEFT JOIN replay_jobs AS p ON p.job_id = batch.job_id AND p.run = batch.run
        WHERE batch.job_id = excluded.job_id
    )
    RETURNING j.job_id, j.callback_url, j.callback_profile, j.callback_progress, j.erased_at
),
-- The first final result of a run wins: the candidates that are returned are now outcomes.
won AS (
    INSERT INTO outcomes (
        job_id, run, status, attempt, error_code, error_message, fingerprint, output, refs, worker_id, device,
        device_note, model_version, model_sha256, code_version, input_sha256, reused_from, started_at, finished_at, run_ms, topic_id,
        partition, "offset"
    )
    SELECT
        r.job_id, r.run, r.status, r.attempt, r.error_code, CASE WHEN known.erased_at IS NULL THEN r.error_message END,
        r.fingerprint, CASE WHEN known.erased_at IS NULL THEN r.output END, CASE WHEN known.erased_at IS NULL THEN r.refs END, r.owner,
        r.device, r.device_note, r.model_version, r.model_sha256, r.code_version,
        CASE WHEN known.erased_at IS NULL THEN r.run_input_sha256 END, r.reused_from,
        r.started_at, r.finished_at, r.run_ms, r.won_topic_id, r.won_partition, r.won_offset
    FROM r JOIN known USING (job_id)
    WHERE r.status IS NOT NULL
    ON CONFLICT (job_id, run) DO NOTHING
    RETURNING job_id, run
),
moved AS (
    INSERT INTO runs AS was (
        job_id, run, mode, lane, state, attempt, execution, sequence, owner, due_at, due_kind, deadline, topic_id,
        partition, "offset", requested_at
    )
    SELECT
        r.job_id, r.run, r.mode, r.lane, r.state, r.attempt, r.execution, r.sequence, r.owner,
        -- A run waits for one time only: the earlier of its own (its retry or not_before time) and its deadline.
        CASE r.state
            WHEN 'RETRYING' THEN least(now() + r.due_in_ms * interval '1 millisecond', r.deadline)
            WHEN 'PENDING' THEN least(r.not_before, r.deadline)
        END,
        CASE r.state
            WHEN 'RETRYING' THEN
                CASE WHEN r.deadline < now() + r.due_in_ms * interval '1 millisecond' THEN 'deadline' ELSE 'retry' END
            WHEN 'PENDING' THEN CASE
                WHEN r.not_before < coalesce(r.deadline, 'infinity') THEN 'not_before'
                WHEN r.deadline IS NOT NULL THEN 'deadline'
            END
        END,
        r.deadline, r.topic_id, r.partition, r."offset", r.created_at
    FROM r JOIN known USING (job_id) LEFT JOIN won ON won.job_id = r.job_id AND won.run = r.run
    WHERE r.status IS NULL OR won.job_id IS NOT NULL
    ON CONFLICT (job_id, run) DO UPDATE SET
        state = excluded.state, attempt = excluded.attempt, execution = excluded.execution, sequence = excluded.sequence,
        owner = excluded.owner, due_at = excluded.due_at, due_kind = excluded.due_kind,
        topic_id = coalesce(was.topic_id, excluded.topic_id), partition = coalesce(was.partition, excluded.partition),
        "offset" = coalesce(was."offset", excluded."offset"), updated_at = now()
    -- Forward only, by attempt and then PENDING < PROCESSING < RETRYING < ended. An end replaces any state but another end.
    WHERE was.state IN ('PENDING', 'PROCESSING', 'RETRYING')
      AND (
          excluded.state NOT IN ('PENDING', 'RETRYING')
          OR (excluded.attempt, excluded.state = 'RETRYING', excluded.state <> 'PENDING')
             > (was.attempt, was.state = 'RETRYING', was.state <> 'PENDING')
      )
    RETURNING was.job_id, was.run
),
callbacks AS (
    INSERT INTO deliveries (
        delivery_id, job_id, run, kind, sequence, destination, profile, state, tries, due_at, notifier, tenant, bytes
    )
    SELECT
        r.delivery_id, r.job_id, r.run, 'outcome', 0, a.destination,
        CASE r.input_sha256 WHEN '' THEN known.callback_profile ELSE r.callback_profile END, 'pending', 0,
        -- The end of a job with progress callbacks waits for end_progress.sql, so that it never passes one.
        now() + CASE WHEN known.callback_progress THEN interval '1 minute' ELSE interval '0' END,
        CASE WHEN known.callback_progress THEN NULL ELSE r.notifier END, left(r.tenant, 128),
        coalesce(pg_column_size(r.output), 0) + coalesce(pg_column_size(r.refs), 0)
    FROM r JOIN won ON won.job_id = r.job_id AND won.run = r.run JOIN known ON known.job_id = r.job_id
    -- If the result could not be decoded, the callback URL of the job's request is used.
    CROSS JOIN LATERAL (
        SELECT coalesce(r.callback_url, CASE r.input_sha256 WHEN '' THEN known.callback_url END) AS destination
    ) AS a
    WHERE r.delivery_id IS NOT NULL AND a.destination <> '' AND known.erased_at IS NULL
    ON CONFLICT DO NOTHING
    RETURNING job_id, run, due_at
),
-- role 0 counts if its job is known; 1 (a retry) if it moved its run; 2 (an end) if it won; 3 is always recorded as it is.
events AS (
    INSERT INTO history (job_id, topic_id, partition, "offset", run, attempt, kind, at, body)
    SELECT
        h.job_id, h.topic_id, h.partition, h."offset", h.run, h.attempt,
        CASE
            WHEN h.role <> 3 AND known.job_id IS NULL THEN 'superseded'
            WHEN h.role = 1 AND moved.job_id IS NULL THEN 'superseded'
            WHEN h.role = 2 AND won.job_id IS NULL THEN 'superseded'
            ELSE h.kind
        END,
        h.at,
        CASE
            WHEN h.role <> 3 AND known.job_id IS NULL THEN '{"reason": "another input under the same job id"}'
            WHEN known.erased_at IS NULL THEN h.body
        END
    FROM @h(
        job_id uuid, topic_id uuid, partition integer, "offset" bigint, run integer, attempt integer, kind text, role integer,
        at timestamptz, body jsonb
    )
    LEFT JOIN known ON known.job_id = h.job_id
    LEFT JOIN moved ON moved.job_id = h.job_id AND moved.run = h.run
    LEFT JOIN won ON won.job_id = h.job_id AND won.run = h.run
    ON CONFLICT DO NOTHING
),
o AS MATERIALIZED (
    SELECT * FROM @o(
        group_id text, topic_id uuid, partition integer, epoch bigint, expected bigint, next_offset bigint, published bigint
    )
),
advanced AS (
    UPDATE sink_offsets AS s SET next_offset = o.next_offset, published_offset = o.published
    FROM o
    WHERE s.group_id = o.group_id AND s.topic_id = o.topic_id AND s.partition = o.partition
      AND s.epoch = o.epoch AND s.next_offset = o.expected
    RETURNING 1
)
-- If an offset is not where this sink left it, another sink owns the partition now: a division by zero rolls everything back.
SELECT
    1 / (CASE WHEN (SELECT count(*) FROM advanced) = (SELECT count(*) FROM o) THEN 1 ELSE 0 END),
    (SELECT array_agg(r.job_id) FROM r LEFT JOIN won ON won.job_id = r.job_id AND won.run = r.run
     WHERE r.status IS NOT NULL AND won.job_id IS NULL),
    (SELECT array_agg(r.run) FROM r LEFT JOIN won ON won.job_id = r.job_id AND won.run = r.run
     WHERE r.status IS NOT NULL AND won.job_id IS NULL),
    now(),
    (SELECT array_agg(job_id) FROM callbacks WHERE due_at > now()),
    (SELECT array_agg(run) FROM callbacks WHERE due_at > now())
