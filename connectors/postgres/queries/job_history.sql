SELECT h.at, h.kind, h.run, h.attempt, h.topic_id, t.name AS topic, h.partition, h."offset", h.body->>'reason' AS reason
FROM history AS h LEFT JOIN topics AS t ON t.topic_id = h.topic_id
WHERE h.job_id = %(job_id)s
ORDER BY h.run, h.at, h.attempt, h.kind
