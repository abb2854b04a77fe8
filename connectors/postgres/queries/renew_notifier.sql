INSERT INTO notifiers (notifier, alive_until) VALUES (%(notifier)s, now() + %(lease)s)
ON CONFLICT (notifier) DO UPDATE SET alive_until = excluded.alive_until
