"""What the platform stands on: the event store, Postgres, settings."""
