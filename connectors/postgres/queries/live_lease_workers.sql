-- Workers that asked for a job, or renewed a lease, a moment ago.
SELECT worker FROM lease_workers WHERE processor = %(processor)s AND seen_at > now() - %(within)s
UNION
SELECT worker FROM leases
WHERE processor = %(processor)s AND state = 'held' AND worker IS NOT NULL AND renewed_at > now() - %(within)s
