-- What the rows hold of one case, erased already or not.
WITH j AS MATERIALIZED (
    SELECT job_id FROM jobs
    WHERE tenant = %(tenant)s AND (case_id = %(case_id)s OR case_sha256 = %(case_sha256)s)
),
u AS MATERIALIZED (SELECT upload_id, sha256 FROM uploads WHERE tenant = %(tenant)s AND case_id = %(case_id)s),
texts AS (
    SELECT coalesce(o.refs::text, '') || coalesce(o.output::text, '') AS text FROM outcomes AS o JOIN j USING (job_id)
    UNION ALL
    SELECT encode(p.value, 'escape') || p.headers::text FROM payloads AS p JOIN j USING (job_id)
)
SELECT
    ARRAY(SELECT job_id::text FROM j ORDER BY 1) AS job_ids,
    ARRAY(
        SELECT jsonb_build_array(r.job_id, r.run) FROM runs AS r JOIN j USING (job_id)
        WHERE r.state IN ('PENDING', 'PROCESSING', 'RETRYING') ORDER BY r.job_id, r.run
    ) AS open_runs,
    ARRAY(SELECT upload_id::text FROM u ORDER BY 1) AS upload_ids,
    (SELECT count(*) FROM deliveries AS d JOIN j USING (job_id) WHERE d.destination <> '') AS deliveries,
    ARRAY(
        SELECT sha256 FROM u
        UNION
        SELECT m[1] FROM texts, regexp_matches(texts.text, 'sha256/[0-9a-f]{2}/([0-9a-f]{64})', 'g') AS m
    ) AS contents,
    ARRAY(
        SELECT input_sha256 FROM jobs JOIN j USING (job_id) WHERE input_sha256 <> ''
        UNION
        SELECT o.input_sha256 FROM outcomes AS o JOIN j USING (job_id) WHERE o.input_sha256 IS NOT NULL
    ) AS inputs,
    ARRAY(
        SELECT p.name FROM upload_parts AS p JOIN partial_uploads AS w USING (upload_id)
        WHERE w.tenant = %(tenant)s AND w.case_id = %(case_id)s ORDER BY 1
    ) AS parts
