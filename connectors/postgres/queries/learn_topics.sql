INSERT INTO topics (topic_id, name)
SELECT topic_id, name FROM @t(topic_id uuid, name text)
ON CONFLICT (topic_id) DO NOTHING
