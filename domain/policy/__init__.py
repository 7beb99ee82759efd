"""Policy: how the scheduler decides and what things cost, set by events."""
