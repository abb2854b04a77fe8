-- States of runs: of listed jobs (the requested run, else the current one), or of the open jobs of a batch.
SELECT j.job_id::text, r.run, j.processor, r.state
FROM jobs AS j JOIN runs AS r ON r.job_id = j.job_id AND r.run = coalesce(%(run)s, j.current_run)
WHERE {wanted}
