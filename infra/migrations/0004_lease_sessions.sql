-- A node's session: its boot, told apart from the time before a lease of the same boot was lost.
-- Seats are granted to a session, so that what was lost with one is never ordered in the next.
ALTER TABLE node_leases ADD COLUMN session text;
UPDATE node_leases SET session = boot;
ALTER TABLE node_leases ALTER COLUMN session SET NOT NULL;
