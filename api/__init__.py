"""How it is asked: HTTP commands and queries."""
