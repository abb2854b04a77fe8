-- Expired, not deleted: its deliveries are found through this row. `delete_dead_notifiers.sql` deletes it later.
UPDATE notifiers SET alive_until = '-infinity' WHERE notifier = %(notifier)s
