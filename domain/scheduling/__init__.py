"""Who runs where, and why the others wait: a pure function of a snapshot and a policy."""
