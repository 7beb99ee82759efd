-- Lets the platform see how much room a remote Postgres has left, so that it refuses commands before
-- the disk is full. Run once in the cell's database as a superuser (or a member of
-- pg_execute_server_program); then: GRANT EXECUTE ON FUNCTION compute_free_bytes() TO <the role>;
CREATE UNLOGGED TABLE IF NOT EXISTS compute_free_space (bytes bigint);
REVOKE ALL ON compute_free_space FROM PUBLIC;

CREATE OR REPLACE FUNCTION compute_free_bytes() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    free bigint;
BEGIN
    LOCK TABLE public.compute_free_space;
    DELETE FROM public.compute_free_space;
    -- The server runs it in its data directory, which holds pg_wal.
    COPY public.compute_free_space FROM PROGRAM 'df -PB1 . pg_wal/ | awk ''NR > 1 {print $4}''';
    SELECT min(bytes) INTO free FROM public.compute_free_space;
    RETURN free;
END
$$;
REVOKE ALL ON FUNCTION compute_free_bytes() FROM PUBLIC;
