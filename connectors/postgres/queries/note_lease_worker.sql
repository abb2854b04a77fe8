-- A worker asked for a job. Rows of workers that are long gone are deleted meanwhile.
WITH gone AS (DELETE FROM lease_workers WHERE seen_at < now() - interval '1 hour')
INSERT INTO lease_workers AS w (processor, worker, seen_at) VALUES (%(processor)s, %(worker)s, now())
ON CONFLICT (processor, worker) DO UPDATE SET seen_at = excluded.seen_at
