"""Checkpoint: what a job can go on from."""
