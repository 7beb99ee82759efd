"""The placement engine against a plain reference."""
