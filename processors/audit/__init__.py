"""Audit: what the log says about the scheduler's decisions, read and computed, never written."""
