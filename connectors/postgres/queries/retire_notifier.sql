-- Expired, not deleted: what it still holds is found by its row. `bury_notifiers.sql` removes it later.
UPDATE notifiers SET alive_until = '-infinity' WHERE notifier = %(notifier)s
