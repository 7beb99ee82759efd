-- A registration is recorded only while nobody has begun or renewed the node's lease since it did:
-- `given` is the nonce that it began the lease with. One that took long brings no old offer back.
CREATE OR REPLACE FUNCTION assert_session(wanted_node text, given text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM node_leases
    WHERE node = wanted_node AND nonce = given AND NOT lost FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of % is another''s or over', wanted_node USING ERRCODE = 'CP002';
    END IF;
END
$$;
