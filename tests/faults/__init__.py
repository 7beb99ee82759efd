"""Real processes that are killed, stopped and cut off: F01 to F24 of docs/reliability.md."""
