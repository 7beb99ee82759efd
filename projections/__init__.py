"""What is asked: read models, each a pure fold of the log into one table, and its queries."""
