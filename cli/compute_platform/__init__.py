"""The command `compute` and the Python client of Compute Platform."""

__version__ = "0.1.0"
