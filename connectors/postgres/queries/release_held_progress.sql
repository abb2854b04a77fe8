-- Progress that a notifier holds for longer than any try may take: its claim was not answered, or it waits too long.
UPDATE deliveries SET notifier = NULL
WHERE state = 'pending' AND notifier = %(notifier)s AND kind = 'progress' AND held_until <= now()
