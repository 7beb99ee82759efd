"""A whole cell in one process, on simulated parts: docs/reliability.md."""
