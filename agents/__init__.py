"""The node agent: takes orders from a cell over HTTP, runs seats, reports facts."""

__version__ = "0.1.0"
