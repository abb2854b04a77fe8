-- Input hashes of jobs that were accepted, by the sink's row where it has one. Null: unknown.
SELECT job_id::text, max(input_sha256) AS input_sha256
FROM (
    SELECT j.job_id, j.input_sha256, 0 AS source FROM jobs AS j WHERE j.job_id = ANY(%(jobs)s)
    UNION ALL
    SELECT p.job_id, p.input_sha256, 1 FROM payloads AS p WHERE p.job_id = ANY(%(jobs)s)
) AS found
GROUP BY job_id
