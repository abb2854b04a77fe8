SELECT tenant, case_sha256, erased_at, erased_by, jobs, uploads, deliveries, objects
FROM erasures WHERE tenant = %(tenant)s AND case_sha256 = %(case_sha256)s ORDER BY erased_at
