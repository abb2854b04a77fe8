-- A job with its current run, or with the requested run.
SELECT
    r.job_id::text, r.run, r.state, j.processor, j.tenant, r.mode, r.lane, r.attempt, r.execution, r.owner, r.stage, r.percent,
    r.message,
    r.due_at, r.due_kind, r.deadline, j.external_id, j.case_id, j.upload_id, j.batch_id, j.callback_url, j.labels,
    j.input_sha256, r.requested_at, r.updated_at, o.started_at, o.finished_at, o.decided_at, o.run_ms, o.device,
    o.device_note, o.model_version, o.model_sha256, o.code_version, o.reused_from,
    o.input_sha256 AS run_input_sha256, o.output, o.error_code, o.error_message, o.fingerprint, o.refs,
    r.topic_id AS request_topic_id, rt.name AS request_topic, r.partition AS request_partition, r."offset" AS request_offset,
    o.topic_id AS result_topic_id, ot.name AS result_topic, o.partition AS result_partition, o."offset" AS result_offset,
    c.requested_at AS cancel_requested_at, c.requested_by AS cancel_requested_by, c.reason AS cancel_reason
FROM jobs AS j
JOIN runs AS r ON r.job_id = j.job_id AND r.run = coalesce(%(run)s, j.current_run)
LEFT JOIN outcomes AS o ON o.job_id = r.job_id AND o.run = r.run
LEFT JOIN topics AS rt ON rt.topic_id = r.topic_id
LEFT JOIN topics AS ot ON ot.topic_id = o.topic_id
LEFT JOIN cancels AS c ON c.job_id = r.job_id AND c.run = r.run
WHERE j.job_id = %(job_id)s
