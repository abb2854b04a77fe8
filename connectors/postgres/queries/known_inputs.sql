-- Tenant and input of every job, or edited run of one, that has one of these inputs.
SELECT DISTINCT tenant, input_sha256 FROM jobs WHERE input_sha256 = ANY(%(inputs)s)
UNION
SELECT j.tenant, o.input_sha256 FROM outcomes AS o JOIN jobs AS j USING (job_id) WHERE o.input_sha256 = ANY(%(inputs)s)
