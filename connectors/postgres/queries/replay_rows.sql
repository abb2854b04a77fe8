SELECT
    p.n, p.source, p.job_id::text, j.processor, p.from_run, p.run, t.name AS topic, p.topic_id, p.partition, p."offset", p.state,
    p.reason, p.tries, p.published_at, j.erased_at IS NOT NULL AS erased,
    j.tenant, j.created_at, j.external_id, j.case_id, j.upload_id, j.batch_id, j.parent_job_id, j.callback_url, j.callback_profile,
    j.labels
FROM replay_jobs AS p
LEFT JOIN jobs AS j ON j.job_id = p.job_id
LEFT JOIN topics AS t ON t.topic_id = p.topic_id
WHERE p.replay_id = %(replay_id)s AND {wanted}
ORDER BY p.n LIMIT %(limit)s
