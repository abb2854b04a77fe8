SELECT tenant, jobs_per_s, burst, in_flight FROM tenants ORDER BY tenant
