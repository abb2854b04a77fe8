-- A holder that was late has the lease again, with its fence, if no other worker has claimed it since. Not for a run that
-- can't be claimed any more: it has ended, is to be cancelled, or has passed its deadline.
UPDATE leases AS l SET state = 'held', worker = %(worker)s, expires_at = now() + %(lease)s
FROM runs AS r
WHERE l.job_id = %(job_id)s AND l.run = %(run)s AND l.fence = %(fence)s AND l.state = 'waiting'
  AND r.job_id = l.job_id AND r.run = l.run
  AND r.state IN ('PENDING', 'PROCESSING') AND (r.deadline IS NULL OR r.deadline > now())
  AND NOT EXISTS (SELECT FROM cancels AS c WHERE c.job_id = l.job_id AND c.run = l.run AND c.ended_at IS NULL)
RETURNING 1
