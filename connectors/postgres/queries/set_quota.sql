INSERT INTO tenants AS was (tenant, jobs_per_s, burst, in_flight)
VALUES (%(tenant)s, %(jobs_per_s)s, %(burst)s, %(in_flight)s)
ON CONFLICT (tenant) DO UPDATE SET
    jobs_per_s = excluded.jobs_per_s, burst = excluded.burst, in_flight = excluded.in_flight, updated_at = now()
