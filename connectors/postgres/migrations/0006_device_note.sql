-- Why a job did not run on the device that `auto` would have taken; null where it did. No default, so nothing is rewritten.
ALTER TABLE outcomes ADD COLUMN device_note text;
