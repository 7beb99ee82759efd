"""The HTTP API on a real Postgres."""
