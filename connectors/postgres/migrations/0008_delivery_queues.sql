-- Deliveries are claimed in turns by queue: a tenant, and a host and port as the URL has them. `bytes`: size of output and refs.
ALTER TABLE deliveries ADD COLUMN tenant text NOT NULL DEFAULT '', ADD COLUMN bytes integer NOT NULL DEFAULT 0;

CREATE FUNCTION callback_authority(destination text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT left(lower(coalesce(substring(destination FROM '://([^/?#]*)'), '')), 256) $$;

UPDATE deliveries AS d SET
    tenant = left(j.tenant, 128),
    bytes = coalesce(pg_column_size(o.output), 0) + coalesce(pg_column_size(o.refs), 0)
FROM jobs AS j, outcomes AS o
WHERE d.state = 'pending' AND j.job_id = d.job_id AND o.job_id = d.job_id AND o.run = d.run;
