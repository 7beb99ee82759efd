"""Job: what a user wants run, its attempts and its end."""
