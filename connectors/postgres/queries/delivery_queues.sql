-- The next queues with pending deliveries that no notifier holds, from the given one on; each is one step in the index
-- deliveries_queues. `due`: the earliest delivery of the queue is due. A tenant in `full` takes one step, whatever its queues.
WITH RECURSIVE queue AS (
    (SELECT d.tenant COLLATE "C" AS tenant, callback_authority(d.destination) COLLATE "C" AS authority, d.due_at, 1 AS n
     FROM deliveries AS d
     WHERE d.state = 'pending' AND d.notifier IS NULL
       AND (d.tenant COLLATE "C", callback_authority(d.destination) COLLATE "C") >= (%(tenant)s::text, %(authority)s::text)
     ORDER BY d.tenant COLLATE "C", callback_authority(d.destination) COLLATE "C", d.due_at LIMIT 1)
    UNION ALL
    SELECT next.tenant, next.authority, next.due_at, queue.n + 1
    FROM queue CROSS JOIN LATERAL (
        SELECT d.tenant COLLATE "C" AS tenant, callback_authority(d.destination) COLLATE "C" AS authority, d.due_at
        FROM deliveries AS d
        WHERE d.state = 'pending' AND d.notifier IS NULL
          AND (d.tenant COLLATE "C", callback_authority(d.destination) COLLATE "C") > (
              queue.tenant || CASE WHEN queue.tenant = ANY (%(full)s::text[]) THEN chr(1) ELSE '' END,
              CASE WHEN queue.tenant = ANY (%(full)s::text[]) THEN '' ELSE queue.authority END
          )
        ORDER BY d.tenant COLLATE "C", callback_authority(d.destination) COLLATE "C", d.due_at LIMIT 1
    ) AS next
    WHERE queue.n < %(limit)s
)
SELECT tenant, authority, due_at <= now() AS due FROM queue ORDER BY n
