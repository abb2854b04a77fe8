-- Attempt and execution of those of these runs that have a lease.
SELECT k.n, leases.attempt, leases.execution
FROM @k(n integer, job_id uuid, run integer)
JOIN leases ON leases.job_id = k.job_id AND leases.run = k.run
