-- Notifiers that have been dead for an hour and hold no pending delivery.
DELETE FROM notifiers AS n
WHERE n.alive_until < now() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.notifier = n.notifier AND d.state = 'pending')
