"""Node: a machine that runs seats, and what operators decided about it."""
