-- A node's session: its boot, told apart from the time before a lease of the same boot was lost.
-- Seats are granted to a session, so that what was lost with one is never ordered in the next.
ALTER TABLE node_leases ADD COLUMN session text;
UPDATE node_leases SET session = boot;
ALTER TABLE node_leases ALTER COLUMN session SET NOT NULL;

-- Fails the transaction unless the node's lease is that session's; its loss waits for it.
CREATE FUNCTION assert_session(wanted_node text, given text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM node_leases
    WHERE node = wanted_node AND session = given AND NOT lost FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'session % of % is over', given, wanted_node USING ERRCODE = 'CP002';
    END IF;
END
$$;
