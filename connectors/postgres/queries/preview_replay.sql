WITH {candidates}
SELECT processor, state, error_code, fingerprint, parked, count(*) AS jobs, avg(run_ms) AS run_ms
FROM checked GROUP BY processor, state, error_code, fingerprint, parked
ORDER BY jobs DESC, processor, state, error_code, fingerprint, parked
